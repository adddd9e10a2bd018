"""Whether a need fits an offer, and if not, by how much it misses (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.memory import ASKED, GIB, Wanted, lacks_dtype
from mlcost_hpc.launch.miss import Miss
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.units import format_duration, format_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.memory import Model
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.shape import Shape


ANY_MEMORY = Wanted(0, "")


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An offer that does not fit, and why."""

    offer: Offer
    misses: tuple[Miss, ...]

    @property
    def distance(self) -> tuple[int, int, float]:
        """How far it is from fitting: what the user ruled out, then the number of misses, then their size."""
        unwanted = sum(miss.is_unwanted for miss in self.misses)
        return unwanted, len(self.misses), sum(miss.gap for miss in self.misses)


def nothing_fits(need: Need, rejected: Sequence[Rejected], catalog: Catalog) -> str:
    """Return why nothing fits, and what would make it possible.

    Args:
        need: what was asked for.
        rejected: every offer and why it does not fit, nearest first.
        catalog: the GPU models, by whose names the user may call them.
    """
    if not rejected:
        kind = "GPUs" if need.gpus else "nodes"
        return f"nothing fits: no partition that is up has {kind} that accept jobs"
    offers = [item.offer for item in rejected]
    partitions = sorted({offer.partition for offer in offers})
    if need.partitions and not set(need.partitions) & set(partitions):
        kind = "GPUs" if need.gpus else "nodes without GPUs"
        return (
            f"nothing fits: {_list(need.partitions)} {_is(need.partitions)} no partition that is up and has "
            f"{kind}. Possible in {_list(partitions)}"
        )
    if need.gpu_types and not any(_is_wanted(offer, need.gpu_types, catalog) for offer in offers):
        return (
            f"nothing fits: this cluster has no {' or '.join(need.gpu_types)} that accepts jobs. Possible "
            f"with --gpu-type {' or '.join(sorted({offer.label for offer in offers}))}, or without --gpu-type"
        )
    nearest = rejected[0]
    why = "; ".join(miss.why for miss in nearest.misses)
    said = f"nothing fits; the nearest is {nearest.offer.partition}: {why}"
    if not all(miss.remedy for miss in nearest.misses):
        return said
    return f"{said}. Possible with {' and '.join(miss.remedy for miss in nearest.misses)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _is(names: Collection[str]) -> str:
    return "is" if len(names) == 1 else "are"


def misses(
    need: Need, offer: Offer, shape: Shape, catalog: Catalog, memory: Wanted = ANY_MEMORY
) -> tuple[Miss, ...]:
    """Return every reason why a need does not fit an offer; empty when it fits.

    Args:
        need: what was asked for.
        offer: where.
        shape: what the job asks of each node there.
        catalog: the GPU models, by whose names the user may call them.
        memory: what each GPU must have.
    """
    return tuple(_misses(need, offer, shape, catalog, memory))


def _misses(need: Need, offer: Offer, shape: Shape, catalog: Catalog, memory: Wanted) -> Iterator[Miss]:
    if need.partitions and offer.partition not in need.partitions:
        why = f"{offer.partition} is not among the partitions you allow"
        yield Miss(why=why, remedy=f"--partition {offer.partition}", is_unwanted=True)
    if need.gpu_types and not _is_wanted(offer, need.gpu_types, catalog):
        why = f"{offer.label} is not among the GPU types you allow"
        yield Miss(why=why, remedy=f"--gpu-type {offer.label}", is_unwanted=True)
    if offer.preemptible and not need.preemptible:
        why = f"jobs in {offer.whose} can be preempted, which you do not allow"
        instead = f" or --qos {offer.safe_qos[0]}" if offer.safe_qos else ""
        yield Miss(why=why, remedy=f"--preemptible{instead}", is_unwanted=True)
    if offer.gpu_hour is None:
        yield Miss(why=offer.notes[-1], remedy="a price for it in the rate card")
    elif not offer.gpu_hour and offer.partition not in need.partitions:
        why = f"the rate card prices {offer.partition} at 0, which says nothing about what it costs"
        yield Miss(why=why, remedy=f"--partition {offer.partition}")
    is_named = (need.qos or "").lower() == offer.qos if offer.qos else offer.partition in need.partitions
    if "SUSPEND" in offer.preempt_mode and not is_named:
        why = f"preempted jobs in {offer.whose} are suspended and never restart elsewhere"
        remedy = f"--qos {offer.qos}" if offer.qos else f"--partition {offer.partition}"
        yield Miss(why=why, remedy=remedy)
    if need.gpus:
        yield from _memory_misses(offer, memory)
        if need.model is not None:
            yield from _dtype_misses(need.model, offer, catalog)
        yield from _gpu_misses(need, offer, shape)
    yield from _node_misses(offer, shape)
    if offer.max_time_s is not None and need.time_s is not None and need.time_s > offer.max_time_s:
        yield Miss(
            why=f"{offer.partition} allows {format_duration(offer.max_time_s)}; "
            f"you asked for {format_duration(need.time_s)}",
            gap=_gap(need.time_s, offer.max_time_s),
            remedy=f"--time {format_duration(offer.max_time_s)} (a job that saves goes on in its next run)",
        )


def _memory_misses(offer: Offer, wanted: Wanted) -> Iterator[Miss]:
    if not wanted.size:
        return
    if offer.gpu_memory is None:
        yield Miss(
            why=f"the memory of {offer.label} GPUs is not known; {wanted.why} {_gib(wanted.size)} GiB: "
            "give the type a model in gpu_aliases of the settings file"
        )
    elif offer.gpu_memory < wanted.size:
        yield Miss(
            why=f"{offer.label} has {_gib(offer.gpu_memory)} GiB; {wanted.why} {_gib(wanted.size)}",
            gap=_gap(wanted.size, offer.gpu_memory),
            remedy=f"--gpu-memory {_gib_down(offer.gpu_memory)}"
            + ("" if wanted.why == ASKED else " once it needs no more"),
        )


def _dtype_misses(model: Model, offer: Offer, catalog: Catalog) -> Iterator[Miss]:
    gpu = catalog.find(offer.gpu_model)
    if gpu is not None and lacks_dtype(model, gpu):
        why = f"{offer.label} does not compute in {model.dtype}; it does in {', '.join(gpu.tflops)}"
        yield Miss(why=why, remedy="another dtype in --model")


def _gpu_misses(need: Need, offer: Offer, shape: Shape) -> Iterator[Miss]:
    if shape.gpus > offer.gpus_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {offer.gpus_per_node} {offer.label}; "
            f"you asked for {shape.gpus} on one node",
            gap=_gap(shape.gpus, offer.gpus_per_node),
            remedy=f"--nodes {-(-need.gpus // offer.gpus_per_node)}",
        )
    elif shape.gpus * shape.nodes != need.gpus:
        yield Miss(
            why=f"{need.gpus} GPUs do not spread evenly over {shape.nodes} nodes of {offer.partition}",
            gap=_gap(shape.gpus * shape.nodes, need.gpus),
            remedy=f"--gpus {_even(need.gpus, shape, offer)}",
        )
    elif need.gpus > offer.gpus_total:
        yield Miss(
            why=f"{offer.partition} has {offer.gpus_total} {offer.label}; you asked for {need.gpus}",
            gap=_gap(need.gpus, offer.gpus_total),
            remedy=f"--gpus {offer.gpus_total}",
        )


def _node_misses(offer: Offer, shape: Shape) -> Iterator[Miss]:
    if shape.cpus > offer.cpus_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {offer.cpus_per_node} CPUs; you asked for {shape.cpus}",
            gap=_gap(shape.cpus, offer.cpus_per_node),
            remedy=f"--cpus {offer.cpus_per_node // max(1, shape.gpus)}",
        )
    if shape.memory > offer.memory_per_node:
        yield Miss(
            why=f"nodes in {offer.partition} have {format_memory(offer.memory_per_node)} of memory; "
            f"you asked for {format_memory(shape.memory)}",
            gap=_gap(shape.memory, offer.memory_per_node),
            remedy=f"--mem {format_memory(offer.memory_per_node)}",
        )
    # Where GPUs are asked for, too few nodes are too few GPUs, which is said already.
    there = shape.nodes if shape.gpus else offer.nodes
    limit = there if offer.max_nodes is None else min(there, offer.max_nodes)
    if shape.nodes > limit:
        yield Miss(
            why=f"{offer.partition} gives a job at most {limit} nodes; this one needs {shape.nodes}",
            gap=_gap(shape.nodes, limit),
            remedy=f"{limit} nodes" + (f" (--gpus {limit * shape.gpus})" if shape.gpus else ""),
        )


def _is_wanted(offer: Offer, wanted: tuple[str, ...], catalog: Catalog) -> bool:
    if not offer.has_gpus:
        return False
    names = {name.lower() for name in wanted}
    models = {model.key for name in wanted if (model := catalog.find(name)) is not None}
    return offer.gpu_type.lower() in names or offer.gpu_model in models


def _gap(asked: float, there: float) -> float:
    return asked / there - 1 if there else float("inf")


def _even(gpus: int, shape: Shape, offer: Offer) -> int:
    """Return the nearest number of GPUs that spreads evenly: more where there are so many, else fewer."""
    more = shape.gpus * shape.nodes
    return more if more <= offer.gpus_total else gpus // shape.nodes * shape.nodes


def _gib_down(size: int) -> str:
    return f"{size // GIB}"


def _gib(size: int) -> str:
    return f"{round(size / GIB, 1):g}"
