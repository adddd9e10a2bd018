"""What a job needs, in the user's own terms."""

from __future__ import annotations

import msgspec

GIB = 1024**3


class Need(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job needs. Amounts are for the whole job unless an attribute says otherwise.

    Attributes:
        gpus: GPUs; 0 = a job without GPUs.
        gpu_memory: bytes every single GPU must have.
        cpus: CPUs per GPU, or CPUs of a job without GPUs; None = a fair share of the node, see
            :func:`mlcost_hpc.launch.shape.shape_of`.
        memory: bytes of main memory per node; None = in proportion to the CPUs.
        time_s: time limit of one run of the job, seconds.
        nodes: nodes; None = as few as the GPUs need.
        preemptible: preemptible partitions may be used.
        gpu_types: acceptable GPUs, as GRES types, catalogue keys or their aliases; empty = any.
        partitions: acceptable partitions; empty = any.
        account: account to charge; None = the user's default.
        qos: QOS to ask for; None = the default.
    """

    gpus: int = 0
    gpu_memory: int = 0
    cpus: int | None = None
    memory: int | None = None
    time_s: int = 3600
    nodes: int | None = None
    preemptible: bool = True
    gpu_types: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    account: str | None = None
    qos: str | None = None
