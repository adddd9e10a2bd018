"""What a look at a cluster found, and what is made of it: records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from mlcost_hpc.slurm.api import Node, Partition, Version
from mlcost_hpc.slurm.associations import Qos
from mlcost_hpc.slurm.cluster_settings import ClusterSettings

Status = Literal["ok", "info", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found out.

    Attributes:
        check: what was looked at, a short stable word.
        status: ``ok``, ``info``, ``warning`` (something will go wrong) or ``error`` (nothing works).
        finding: what is so.
        advice: what to do about it, or what follows; empty when there is nothing to do.
    """

    check: str
    status: Status
    finding: str
    advice: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a cluster found.

    Attributes:
        backend: name of the backend.
        why: why it is this one.
        client_version: version of the installed commands; None = not there or not asked.
        settings: the cluster's settings; None = the controller does not answer.
        controller_error: why the controller gave no answer, empty when it did.
        partitions: its partitions.
        nodes: its nodes.
        accounting_error: why accounting gave no answer, empty when it did.
        user: who asks.
        admin_level: ``None``, ``Operator`` or ``Administrator`` as accounting knows the user; empty = not
            known.
        qos: QOS by name; empty where jobs do not preempt by QOS or it cannot be asked for.
        database: slurmdbd's own settings, empty where they cannot be asked for.
        inside_job: id of the job that this runs in, empty outside of jobs.
        environment_clusters: value of ``SLURM_CLUSTERS``, which redirects Slurm's commands.
    """

    backend: str
    why: str
    client_version: Version | None = None
    settings: ClusterSettings | None = None
    controller_error: str = ""
    partitions: tuple[Partition, ...] = ()
    nodes: tuple[Node, ...] = ()
    accounting_error: str = ""
    user: str = ""
    admin_level: str = ""
    qos: Mapping[str, Qos] = {}
    database: Mapping[str, str] = {}
    inside_job: str = ""
    environment_clusters: str = ""
