"""What a cluster has to offer right now: the facts every choice starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.slurm.api import Node, Partition
from mlcost_hpc.slurm.cluster_settings import ClusterSettings, read_cluster_settings

if TYPE_CHECKING:
    from mlcost_hpc.slurm.api import Slurm


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a cluster.

    Attributes:
        settings: its settings.
        partitions: its partitions.
        nodes: its nodes.
    """

    settings: ClusterSettings
    partitions: tuple[Partition, ...]
    nodes: tuple[Node, ...]


def read_market(slurm: Slurm) -> Market:
    """Return what the cluster has now; three questions to the controller.

    Raises:
        SlurmError: when the controller does not answer.
    """
    return Market(
        settings=read_cluster_settings(slurm.config()),
        partitions=slurm.partitions(),
        nodes=slurm.nodes(),
    )
