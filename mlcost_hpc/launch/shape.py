"""The shape of a job on an offer: how many nodes, and what it holds on each (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.need import GIB
from mlcost_hpc.launch.offers import priced_model
from mlcost_hpc.rates import Resources

if TYPE_CHECKING:
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.offers import Offer

DEFAULT_CPUS_PER_GPU = 4
DEFAULT_MEMORY_PER_CPU = 4 * GIB


class Shape(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a job asks of each of its nodes.

    Attributes:
        nodes: nodes.
        gpus: GPUs on each.
        cpus: CPUs on each.
        memory: bytes on each.
    """

    nodes: int
    gpus: int
    cpus: int
    memory: int


def shape_of(need: Need, offer: Offer) -> Shape:
    """Return the shape a need takes on an offer, whether or not it fits there.

    As few nodes as the GPUs need. Where the user does not say: four CPUs a GPU, or the GPUs' share of the
    node's CPUs where that is less; 4 GiB a CPU, or the CPUs' share of the node's memory where that is less.
    """
    if not need.gpus:
        nodes = need.nodes or 1
        return _filled(offer, nodes=nodes, gpus=0, cpus=need.cpus or 1, memory=need.memory)
    nodes = need.nodes or max(1, -(-need.gpus // max(1, offer.gpus_per_node)))
    gpus = -(-need.gpus // nodes)
    share = offer.cpus_per_node // offer.gpus_per_node if offer.gpus_per_node else DEFAULT_CPUS_PER_GPU
    each = need.cpus or max(1, min(DEFAULT_CPUS_PER_GPU, share))
    return _filled(offer, nodes=nodes, gpus=gpus, cpus=each * gpus, memory=need.memory)


def held(shape: Shape, offer: Offer) -> Resources:
    """Return what the whole job holds, as the rate card prices it."""
    gpus = {priced_model(offer): shape.gpus * shape.nodes} if shape.gpus else {}
    return Resources(
        cpus=shape.cpus * shape.nodes, memory=shape.memory * shape.nodes, gpus=gpus, nodes=shape.nodes
    )


def _filled(offer: Offer, *, nodes: int, gpus: int, cpus: int, memory: int | None) -> Shape:
    if memory is None:
        share = offer.memory_per_node * cpus // max(1, offer.cpus_per_node)
        memory = min(DEFAULT_MEMORY_PER_CPU * cpus, share) // 2**20 * 2**20
    return Shape(nodes=nodes, gpus=gpus, cpus=cpus, memory=memory)
