"""What a job needs, in the user's own terms."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from mlcost_hpc.launch.memory import GIB, Model

__all__ = ["GIB", "Model", "Need", "Work"]


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much there is to do.

    Attributes:
        amount: in units of ``unit``.
        unit: ``steps`` (whatever the training loop counts), ``flop``, or ``hours``.
        gpu_model: for ``hours``: on one GPU of which model (catalogue key).
    """

    amount: float
    unit: Literal["steps", "flop", "hours"] = "steps"
    gpu_model: str = ""


class Need(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job needs. Amounts are for the whole job unless an attribute says otherwise.

    Attributes:
        gpus: GPUs; 0 = a job without GPUs.
        gpu_memory: bytes every single GPU must have; 0 = as measured on this job, else as its model needs.
        model: the model that is run, from which that is estimated; None = not said.
        cpus: CPUs per GPU, or CPUs of a job without GPUs; None = a fair share of the node, see
            :func:`mlcost_hpc.launch.shape.shape_of`.
        memory: bytes of main memory per node; None = in proportion to the CPUs.
        gpus_max: largest acceptable number of GPUs, by doubling from ``gpus``; None = exactly ``gpus``.
        scaling: what doubling the GPUs yields, over 2: 1 = twice as fast, 0.5 = no faster.
        time_s: time limit of one run of the job, seconds; None = from the work, else an hour.
        work: how much there is to do.
        deadline_s: seconds from now until it must be done; None = whenever.
        deadline_probability: how surely.
        budget: most it may cost; None = whatever.
        hour_value: what an hour less of waiting for the result is worth to the user.
        nodes: nodes; None = as few as the GPUs need.
        preemptible: it may go where it can be preempted.
        gpu_types: acceptable GPUs, as GRES types, catalogue keys or their aliases; empty = any.
        partitions: acceptable partitions; empty = any.
        account: account to charge; None = the user's default.
        qos: QOS to ask for; None = the default.
    """

    gpus: int = 0
    gpu_memory: int = 0
    model: Model | None = None
    cpus: int | None = None
    memory: int | None = None
    gpus_max: int | None = None
    scaling: float = 0.9
    time_s: int | None = None
    work: Work | None = None
    deadline_s: float | None = None
    deadline_probability: float = 0.9
    budget: Decimal | None = None
    hour_value: Decimal = Decimal(0)
    nodes: int | None = None
    preemptible: bool = True
    gpu_types: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    account: str | None = None
    qos: str | None = None
