"""Offers: every partition with every GPU type in it, with price, memory, speed and what is free (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlcost_hpc.errors import RateError
from mlcost_hpc.launch.limits import Limit, wall_of
from mlcost_hpc.launch.need import GIB
from mlcost_hpc.launch.pricer import Pricer
from mlcost_hpc.rates import RateCard, Resources
from mlcost_hpc.slurm.api import UNTYPED
from mlcost_hpc.slurm.diagnose_preemption import preemptible_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlcost_hpc.catalog import Catalog, GpuModel
    from mlcost_hpc.launch.market import Market
    from mlcost_hpc.slurm.api import Node, Partition

    Finder = Callable[[str], GpuModel | None]


class Offer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One partition with one GPU type, or the nodes without GPUs of one partition.

    Attributes:
        partition: its name.
        gpu_type: GRES type as Slurm spells it; empty = a type that Slurm does not say, or no GPUs.
        gpu_model: catalogue key; empty = not known, or no GPUs.
        gpu_memory: bytes of one GPU; None = not known, or no GPUs.
        tflops: peak dense 16-bit TFLOPS of one GPU; None = not known, or no GPUs.
        gpu_hour: price of one GPU (of one CPU on an offer without GPUs) for one hour here; None = the rate
            card has none.
        gpus_per_node: most GPUs a node has; 0 = an offer without GPUs.
        gpus_total, gpus_idle: on nodes that accept jobs.
        nodes: nodes that accept jobs.
        cpus_per_node, cpus_total, cpus_idle: most CPUs a node has; CPUs of all; CPUs idle on all.
        memory_per_node: bytes the largest node has.
        preemptible: a job here can be preempted, by one of another partition or of another QOS.
        preempt_mode: what then happens to it: ``REQUEUE``, ``CANCEL`` or ``SUSPEND``; ``OFF`` = it cannot
            be; empty = not known, for jobs preempt by QOS and that of the job is not known.
        grace_time_s: time it gets to save.
        qos: QOS of the job where jobs preempt by QOS; empty where they do not, or it is not known.
        safe_qos: QOS that the user may ask for instead and whose jobs nobody preempts.
        max_time_s: longest time limit; None = unlimited.
        max_nodes: most nodes a job may have; None = unlimited.
        limits: limits of the user's associations on a job here.
        billing_weights: TRESBillingWeights of the partition, memory per MiB: what Slurm counts by, not a
            price; empty where there are none.
        notes: what a person should know.
    """

    partition: str
    gpu_type: str = ""
    gpu_model: str = ""
    gpu_memory: int | None = None
    tflops: float | None = None
    gpu_hour: Decimal | None = None
    gpus_per_node: int = 0
    gpus_total: int = 0
    gpus_idle: int = 0
    nodes: int = 0
    cpus_per_node: int = 0
    cpus_total: int = 0
    cpus_idle: int = 0
    memory_per_node: int = 0
    preemptible: bool = False
    preempt_mode: str = "OFF"
    grace_time_s: int = 0
    qos: str = ""
    safe_qos: tuple[str, ...] = ()
    max_time_s: int | None = None
    max_nodes: int | None = None
    limits: tuple[Limit, ...] = ()
    billing_weights: Mapping[str, Decimal] = {}
    notes: tuple[str, ...] = ()

    @property
    def has_gpus(self) -> bool:
        """True for an offer of GPUs."""
        return self.gpus_per_node > 0

    @property
    def label(self) -> str:
        """What is offered, in a word: the GPU model, else the GRES type, else ``cpu``."""
        if not self.has_gpus:
            return "cpu"
        return self.gpu_model or self.gpu_type or "gpu"

    @property
    def whose(self) -> str:
        """What decides whether a job here can be preempted: ``QOS low``, ``partition spot``."""
        return f"QOS {self.qos}" if self.qos else f"partition {self.partition}"

    @property
    def can_be_preempted(self) -> bool | None:
        """:attr:`preemptible` for reports: None = not known."""
        return self.preemptible if self.preempt_mode else None

    @property
    def longest_s(self) -> int | None:
        """Longest time limit a job may have, by the partition and by the user's associations; None = any."""
        if not self.limits:
            return self.max_time_s
        return min(
            (most for most in (self.max_time_s, wall_of(self.limits)) if most is not None), default=None
        )

    @property
    def efficiency(self) -> float | None:
        """Peak TFLOPS per unit of currency and hour; None where speed or price is missing."""
        if self.tflops is None or not self.gpu_hour:
            return None
        return self.tflops / float(self.gpu_hour)


class _Sum(NamedTuple):
    """What equal nodes have together."""

    nodes: int
    gpus_total: int
    gpus_idle: int
    gpus_per_node: int
    cpus_per_node: int
    cpus_total: int
    cpus_idle: int
    memory_per_node: int


class _Kind(NamedTuple):
    """What makes nodes equal: big sites have tens of thousands of nodes of few kinds."""

    partitions: tuple[str, ...]
    gpus: tuple[tuple[str, int], ...]
    cpus: int
    memory: int


class _Held:
    """What jobs hold on the nodes of one kind."""

    __slots__ = ("cpus", "gpus", "nodes")

    def __init__(self) -> None:
        self.nodes = 0
        self.cpus = 0
        self.gpus: dict[str, int] = {}


def list_offers(market: Market, catalog: Catalog, card: RateCard) -> tuple[Offer, ...]:
    """Return every offer of a cluster, by partition and then by price.

    Only partitions that are up and nodes that accept jobs count. Jobs without GPUs are offered nodes without
    GPUs; where a cluster has none, its GPU nodes. Where jobs preempt by QOS, whether one can be preempted
    depends on the job: see :mod:`mlcost_hpc.launch.qos_preemption`.

    Args:
        market: a look at the cluster.
        catalog: the GPU models.
        card: today's prices.
    """
    preempt_type = market.settings.preempt_type
    lower = preemptible_partitions(market.partitions) if preempt_type == "partition_prio" else ()
    modes = {partition.name: partition.preempt_mode for partition in lower}
    otherwise = "" if preempt_type == "qos" else "OFF"
    sums = _sums(market.nodes)
    price, find = Pricer(card), cache(catalog.find)
    offers = []
    for partition in market.partitions:
        if partition.state != "UP" or partition.root_only:
            continue
        base = _base(partition, modes.get(partition.name, otherwise))
        for gpu_type, total in sums.get(partition.name, {}).items():
            offers.append(_offer(base, gpu_type, total, find, price))
    return tuple(sorted(offers, key=lambda offer: (offer.partition, offer.gpu_hour is None, offer.gpu_hour)))


def _base(partition: Partition, preempt_mode: str) -> Offer:
    return Offer(
        partition=partition.name,
        preemptible=preempt_mode not in ("", "OFF"),
        preempt_mode=preempt_mode,
        grace_time_s=partition.grace_time_s,
        max_time_s=partition.max_time_s,
        max_nodes=partition.max_nodes,
        billing_weights=partition.billing_weights,
        notes=tuple(_weight_notes(partition)),
    )


def _weight_notes(partition: Partition) -> Iterator[str]:
    weights = partition.billing_weights
    if weights and not any(weights.values()):
        yield "Slurm's billing weights are all 0: fair share counts nothing here; prices are the rate card's"


def _sums(nodes: tuple[Node, ...]) -> dict[str, dict[str | None, _Sum]]:
    """Return partition -> GRES type (None = no GPUs) -> what its nodes have."""
    kinds = _kinds(nodes)
    has_plain_nodes = any(not kind.gpus for kind in kinds)
    groups: dict[str, dict[str | None, list[tuple[int, _Kind, _Held]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for kind, held in kinds.items():
        types: list[tuple[str | None, int]] = [item for item in kind.gpus if item[1]]
        if not kind.gpus or not has_plain_nodes:
            types.append((None, 0))
        for partition in kind.partitions:
            there = groups[partition]
            for gpu_type, count in types:
                there[gpu_type].append((count, kind, held))
    return {
        partition: {gpu_type: _sum(members, gpu_type) for gpu_type, members in types_there.items()}
        for partition, types_there in groups.items()
    }


def _kinds(nodes: tuple[Node, ...]) -> dict[_Kind, _Held]:
    """Return the kinds of nodes that accept jobs, with what is held on all of each."""
    # Nodes have few different sets of states.
    accepts = {node.states: node.accepts_jobs for node in {node.states: node for node in nodes}.values()}
    # Plain tuples while counting: making a named one takes longer than all the rest.
    kinds: dict[tuple[Any, ...], _Held] = defaultdict(_Held)
    for node in nodes:
        if not accepts[node.states]:
            continue
        held = kinds[node.partitions, tuple(node.gpus.items()), node.cpus, node.memory]
        held.nodes += 1
        held.cpus += node.cpus_allocated
        for gpu_type, count in node.gpus_allocated.items():
            held.gpus[gpu_type] = held.gpus.get(gpu_type, 0) + count
    return {_Kind(*key): held for key, held in kinds.items()}


def _sum(members: list[tuple[int, _Kind, _Held]], gpu_type: str | None) -> _Sum:
    gpus = held_gpus = cpus = held_cpus = nodes = 0
    for count, kind, held in members:
        number = held.nodes
        nodes += number
        gpus += count * number
        cpus += kind.cpus * number
        held_cpus += held.cpus
        if gpu_type is not None:
            held_gpus += held.gpus.get(gpu_type, 0)
    return _Sum(
        nodes=nodes,
        gpus_total=gpus,
        gpus_idle=gpus - held_gpus,
        gpus_per_node=max(count for count, _, _ in members),
        cpus_per_node=max(kind.cpus for _, kind, _ in members),
        cpus_total=cpus,
        cpus_idle=cpus - held_cpus,
        memory_per_node=max(kind.memory for _, kind, _ in members),
    )


def _offer(base: Offer, gpu_type: str | None, total: _Sum, find: Finder, price: Pricer) -> Offer:
    fields: dict[str, Any] = total._asdict()
    if gpu_type is None:
        priced = _price(Resources(cpus=1), base.partition, price)
        fields |= priced | {"notes": (*base.notes, *priced.get("notes", ()))}
        return msgspec.structs.replace(base, **fields)
    fields["gpu_type"] = gpu_type
    name = gpu_type or price.card.at(base.partition).gpu_model
    model = find(name)
    notes = base.notes
    if model is None:
        said = f"GPU type {name!r} is not in the catalogue" if name else "Slurm does not say the GPU type"
        notes = (
            *notes,
            f"{said}: its memory and speed are not known",
        )
    else:
        fields |= {
            "gpu_model": model.key, "gpu_memory": model.memory_gib * GIB, "tflops": model.training_tflops,
        }  # fmt: skip
    priced = _price(Resources(gpus={model.key if model else gpu_type or UNTYPED: 1}), base.partition, price)
    fields |= priced | {"notes": (*notes, *priced.get("notes", ()))}
    return msgspec.structs.replace(base, **fields)


def priced_model(offer: Offer) -> str:
    """Return the name under which the rate card prices an offer's GPUs."""
    return offer.gpu_model or offer.gpu_type or UNTYPED


def _price(unit: Resources, partition: str, price: Pricer) -> dict[str, Any]:
    """Return the fields of an offer that say its price, or that there is none."""
    try:
        return {"gpu_hour": price.per_hour(unit, partition)}
    except RateError as error:
        return {"notes": (str(error),)}
