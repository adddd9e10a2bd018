"""Whether a need fits an offer, and if not, by how much it misses (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.need import GIB
from mlcost_hpc.units import format_duration, format_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.launch.shape import Shape


_UNWANTED = 4.0
"""What somebody ruled out is farther than anything that is wrong with what they named."""


class Miss(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One reason why an offer cannot be taken.

    Attributes:
        why: in words, with both numbers: ``h100 has 80 GiB; you asked for 96``.
        gap: how far off it is: what was asked over what is there, minus one; 1 for a plain no.
        is_unmeasured: it would fit if the job's speed were known there.
    """

    why: str
    gap: float = 1.0
    is_unmeasured: bool = False


def misses(need: Need, offer: Offer, shape: Shape, catalog: Catalog) -> tuple[Miss, ...]:
    """Return every reason why a need does not fit an offer; empty when it fits."""
    return tuple(_misses(need, offer, shape, catalog))


def _misses(need: Need, offer: Offer, shape: Shape, catalog: Catalog) -> Iterator[Miss]:
    if need.partitions and offer.partition not in need.partitions:
        yield Miss(why=f"{offer.partition} is not among the partitions you allow", gap=_UNWANTED)
    if need.gpu_types and not _is_wanted(offer, need.gpu_types, catalog):
        yield Miss(why=f"{offer.label} is not among the GPU types you allow", gap=_UNWANTED)
    if offer.preemptible and not need.preemptible:
        yield Miss(why=f"jobs in {offer.partition} can be preempted, which you do not allow")
    if offer.gpu_hour is None:
        yield Miss(why=offer.notes[-1])
    elif not offer.gpu_hour and offer.partition not in need.partitions:
        yield Miss(why=f"the rate card prices {offer.partition} at 0: name it with --partition to use it")
    if "SUSPEND" in offer.preempt_mode and offer.partition not in need.partitions:
        yield Miss(why=f"preempted jobs in {offer.partition} are suspended and never restart elsewhere")
    if need.gpus:
        yield from _gpu_misses(need, offer, shape)
    yield from _node_misses(offer, shape)
    if offer.max_time_s is not None and need.time_s is not None and need.time_s > offer.max_time_s:
        yield Miss(
            why=f"{offer.partition} allows {format_duration(offer.max_time_s)}; "
            f"you asked for {format_duration(need.time_s)}",
            gap=_gap(need.time_s, offer.max_time_s),
        )


def _gpu_misses(need: Need, offer: Offer, shape: Shape) -> Iterator[Miss]:
    if need.gpu_memory:
        if offer.gpu_memory is None:
            yield Miss(why=f"the memory of {offer.label} GPUs is not known; you asked for a minimum")
        elif offer.gpu_memory < need.gpu_memory:
            yield Miss(
                why=f"{offer.label} has {_gib(offer.gpu_memory)} GiB; you asked for {_gib(need.gpu_memory)}",
                gap=_gap(need.gpu_memory, offer.gpu_memory),
            )
    if shape.gpus > offer.gpus_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {offer.gpus_per_node} {offer.label}; "
            f"you asked for {shape.gpus} on one node",
            gap=_gap(shape.gpus, offer.gpus_per_node),
        )
    elif shape.gpus * shape.nodes != need.gpus:
        yield Miss(
            why=f"{need.gpus} GPUs do not spread evenly over {shape.nodes} nodes of {offer.partition}",
            gap=_gap(shape.gpus * shape.nodes, need.gpus),
        )
    elif need.gpus > offer.gpus_total:
        yield Miss(
            why=f"{offer.partition} has {offer.gpus_total} {offer.label}; you asked for {need.gpus}",
            gap=_gap(need.gpus, offer.gpus_total),
        )


def _node_misses(offer: Offer, shape: Shape) -> Iterator[Miss]:
    if shape.cpus > offer.cpus_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {offer.cpus_per_node} CPUs; you asked for {shape.cpus}",
            gap=_gap(shape.cpus, offer.cpus_per_node),
        )
    if shape.memory > offer.memory_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {format_memory(offer.memory_per_node)} of memory; "
            f"you asked for {format_memory(shape.memory)}",
            gap=_gap(shape.memory, offer.memory_per_node),
        )
    # Where GPUs are asked for, too few nodes are too few GPUs, which is said already.
    there = shape.nodes if shape.gpus else offer.nodes
    limit = there if offer.max_nodes is None else min(there, offer.max_nodes)
    if shape.nodes > limit:
        yield Miss(
            why=f"{offer.partition} gives a job at most {limit} nodes; this one needs {shape.nodes}",
            gap=_gap(shape.nodes, limit),
        )


def _is_wanted(offer: Offer, wanted: tuple[str, ...], catalog: Catalog) -> bool:
    if not offer.has_gpus:
        return False
    names = {name.lower() for name in wanted}
    models = {model.key for name in wanted if (model := catalog.find(name)) is not None}
    return offer.gpu_type.lower() in names or offer.gpu_model in models


def _gap(asked: float, there: float) -> float:
    return asked / there - 1 if there else float("inf")


def _gib(size: int) -> str:
    return f"{round(size / GIB, 1):g}"
