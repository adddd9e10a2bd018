"""Rate cards: what an hour of each resource costs, with the day from which each card holds.

A card is data; :meth:`RateCard.exact_per_hour` is its arithmetic, and the launcher's offers and the
accounting's charges both use it. The rules about a whole run (minimum charge, states, time steps) are part of
the card as well and are applied by ``mlcost_accounting.rating``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from mlcost_hpc.errors import ConfigError, RateError
from mlcost_hpc.rate_rules import (
    HoursRule,
    NodeShape,
    PartitionRate,
    Price,
    QosRate,
    SizeRule,
    StateRule,
    SuspendedRule,
    Tier,
)
from mlcost_hpc.tomlfile import convert_toml

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

GIB = 1024**3
GB = 1000**3

Month = Annotated[int, msgspec.Meta(ge=1, le=12)]

_DIGITS = Context(prec=28)


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a job holds while it runs.

    Attributes:
        cpus: CPUs.
        memory: bytes.
        gpus: GPU model (catalogue key, else the GRES type; empty = type not known) -> number of GPUs.
        nodes: nodes.
        other: any other TRES by its Slurm name, for instance ``gres/nvme``.
    """

    cpus: int = 0
    memory: int = 0
    gpus: Mapping[str, int] = {}
    nodes: int = 1
    other: Mapping[str, int] = {}


class RateCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices and rules that hold from a day on.

    Attributes:
        valid_from: first day, beginning at the site's midnight.
        gpu_hour: GPU model -> price of one GPU for one hour.
        cpu_hour: price of one CPU for one hour.
        memory_gib_hour: price of one GiB (1024^3 bytes) for one hour.
        memory_gb_hour: price of one GB (1000^3 bytes) for one hour, instead of per GiB.
        other_hour: any other TRES -> price of one for one hour.
        storage_tib_month: price of one TiB (1024^4 bytes) of storage for a calendar month; a day costs one
            part in as many as its month has days. 0 = storage is not charged.
        combine: ``sum`` of the terms, ``max`` of them, or ``max-cpu-memory`` (the larger of CPU and memory,
            plus GPUs); other TRES are always added.
        cpu_step, memory_step: amounts are rounded up to multiples of this (CPUs; GiB or GB).
        included_memory_per_cpu: memory (GiB or GB) that comes free with each CPU.
        minimum_minutes: a run that ran at all is charged for at least this long.
        minimum_charge: and at least this much.
        step_seconds: run time is rounded up to multiples of this.
        charge_at: ``use`` puts the charge on the days on which the time was used, each at its own card;
            ``end`` puts all of it on the day of the end, at that day's card.
        suspended: what is charged while suspended.
        reservations: ``jobs`` charges jobs in a reservation like others, and what they leave unused nobody;
            ``unused`` charges the holder for that; ``holder`` charges the holder for all of the reservation,
            and its jobs nothing.
        partition, qos, state: name -> what is different there.
        hours: factors by time of day.
        size: factors by job size.
    """

    valid_from: date
    gpu_hour: Mapping[str, Price] = {}
    cpu_hour: Price = Decimal(0)
    memory_gib_hour: Price = Decimal(0)
    memory_gb_hour: Price = Decimal(0)
    other_hour: Mapping[str, Price] = {}
    storage_tib_month: Price = Decimal(0)
    combine: Literal["sum", "max", "max-cpu-memory"] = "sum"
    cpu_step: Annotated[int, msgspec.Meta(ge=1)] = 1
    memory_step: Price = Decimal(0)
    included_memory_per_cpu: Price = Decimal(0)
    minimum_minutes: Annotated[int, msgspec.Meta(ge=0)] = 0
    minimum_charge: Price = Decimal(0)
    step_seconds: Annotated[int, msgspec.Meta(ge=1)] = 1
    charge_at: Literal["use", "end"] = "use"
    suspended: SuspendedRule = SuspendedRule()
    reservations: Literal["jobs", "unused", "holder"] = "jobs"
    partition: Mapping[str, PartitionRate] = {}
    qos: Mapping[str, QosRate] = {}
    state: Mapping[str, StateRule] = {}
    hours: tuple[HoursRule, ...] = ()
    size: tuple[SizeRule, ...] = ()

    def at(self, partition: str) -> PartitionRate:
        """Return what is different in a partition."""
        return self.partition.get(partition, _PLAIN)

    def state_rule(self, partition: str, state: str) -> StateRule | None:
        """Return what is different for runs that ended in a state; None = nothing."""
        return self.at(partition).state.get(state) or self.state.get(state)

    def multiplier(self, partition: str, qos: str = "") -> Decimal:
        """Return the factor on every price in a partition and a QOS."""
        rule = self.qos.get(qos)
        return self.at(partition).multiplier * (Decimal(1) if rule is None else rule.multiplier)

    def gpu_price(self, model: str, partition: str = "") -> Decimal:
        """Return the price of one GPU-hour before any multiplier.

        Raises:
            RateError: when the card has no price for this model.
        """
        rate = self.at(partition)
        wanted = model or rate.gpu_model
        for prices in (rate.gpu_hour, self.gpu_hour):
            if wanted in prices:
                return prices[wanted]
        if not wanted:
            raise RateError(
                f"Slurm does not say the GPU type in partition {partition!r}: "
                "set its gpu_model in the rate card"
            )
        priced = ", ".join(sorted({*self.gpu_hour, *rate.gpu_hour})) or "none"
        raise RateError(
            f"the rate card of {self.valid_from} has no price for GPU model {wanted!r} (priced: {priced})"
        )

    def exact_per_hour(
        self, held: Resources, partition: str, qos: str = "", *, suspended: bool = False
    ) -> Fraction:
        """Return the exact price of one hour of ``held``, in the currency's main unit.

        Args:
            held: what the job holds.
            partition: where it runs.
            qos: its QOS.
            suspended: the hour is one of suspension.

        Raises:
            RateError: when a GPU model has no price, or a node has no shape to take a share of.
        """
        factor = Fraction(self.multiplier(partition, qos)) * self._size_factor(held)
        if not factor:
            return Fraction(0)
        rate = self.at(partition)
        if rate.basis == "whole-node":
            return factor * Fraction(rate.node_hour) * held.nodes
        if rate.basis == "node-share":
            return factor * Fraction(rate.node_hour) * _node_share(held, rate.node, partition)
        return factor * self._resources(held, partition, suspended=suspended)

    def per_hour(self, held: Resources, partition: str, qos: str = "") -> Decimal:
        """Return :meth:`exact_per_hour` as a decimal of 28 digits.

        Raises:
            RateError: when a GPU model has no price.
        """
        exact = self.exact_per_hour(held, partition, qos)
        return _DIGITS.divide(Decimal(exact.numerator), Decimal(exact.denominator)).normalize()

    def _resources(self, held: Resources, partition: str, *, suspended: bool) -> Fraction:
        rate, charged = self.at(partition), self.suspended
        cpu_hour = self.cpu_hour if rate.cpu_hour is None else rate.cpu_hour
        cpus = -(-held.cpus // self.cpu_step) * self.cpu_step * Fraction(cpu_hour)
        memory = self._memory(held, rate)
        gpus = sum(
            (self.gpu_price(model, partition) * count for model, count in held.gpus.items()), Decimal(0)
        )
        other = sum((self.other_hour.get(name, Decimal(0)) * n for name, n in held.other.items()), Decimal(0))
        if suspended:
            cpus, memory, gpus = cpus * charged.cpus, memory * charged.memory, gpus * charged.gpus
        if self.combine == "sum":
            return cpus + memory + Fraction(gpus) + Fraction(other)
        if self.combine == "max":
            return max(cpus, memory, Fraction(gpus)) + Fraction(other)
        return max(cpus, memory) + Fraction(gpus) + Fraction(other)

    def _memory(self, held: Resources, rate: PartitionRate) -> Fraction:
        gib = self.memory_gib_hour if rate.memory_gib_hour is None else rate.memory_gib_hour
        price, unit = (gib, GIB) if gib else (self.memory_gb_hour, GB)
        amount = Fraction(held.memory, unit) - held.cpus * Fraction(self.included_memory_per_cpu)
        amount = max(amount, Fraction(0))
        step = Fraction(self.memory_step)
        if step:
            amount = -(-amount // step) * step
        return amount * Fraction(price)

    def _size_factor(self, held: Resources) -> Fraction:
        gpus = sum(held.gpus.values())
        fits = [
            rule.multiplier
            for rule in self.size
            if held.cpus >= rule.cpus and held.nodes >= rule.nodes and gpus >= rule.gpus
        ]
        return Fraction(fits[-1]) if fits else Fraction(1)


class RateBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rate cards of a site, oldest first.

    Attributes:
        currency: what the prices are in: ``USD``, ``EUR``, or a unit of the site's own (``SU``).
        fiscal_year_begins: month in which spend tiers begin anew.
        tier: spend tiers, lowest first.
        card: the cards.
    """

    currency: str
    card: tuple[RateCard, ...]
    fiscal_year_begins: Month = 1
    tier: tuple[Tier, ...] = ()

    def card_at(self, day: date) -> RateCard:
        """Return the card that holds on a day (site time zone).

        Raises:
            RateError: when every card begins later.
        """
        valid = [card for card in self.card if card.valid_from <= day]
        if not valid:
            raise RateError(f"no rate card holds on {day}: the first one begins on {self.card[0].valid_from}")
        return valid[-1]

    def card_now(self, zone: ZoneInfo) -> RateCard:
        """Return today's card."""
        return self.card_at(datetime.now(zone).date())


def load_rates(path: Path) -> RateBook:
    """Return the rate cards of a TOML file, oldest first.

    Raises:
        ConfigError: naming the file and the key that is wrong.
    """
    book = convert_toml(path, RateBook)
    if not book.card:
        raise ConfigError(f"{path}: card: there is no rate card")
    for where, number in _decimals(book, ""):
        if not number.is_finite() or number < 0:
            raise ConfigError(f"{path}: {where}: {number} is no price or factor: it must be 0 or more")
    for card in book.card:
        places = {
            "card": card.state,
            **{f"card.partition.{k}": rate.state for k, rate in card.partition.items()},
        }
        for where, rules in places.items():
            if any(rule.multiplier > 1 for rule in rules.values()):
                raise ConfigError(
                    f"{path}: {where}.state: a multiplier above 1 would be a fine, not a credit"
                )
    days = [card.valid_from for card in book.card]
    if len(set(days)) != len(days):
        raise ConfigError(f"{path}: card: two cards begin on the same day")
    if any(card.memory_gib_hour and card.memory_gb_hour for card in book.card):
        raise ConfigError(f"{path}: card: memory has a price per GiB and one per GB; give one of them")
    above = [tier.above for tier in book.tier]
    if above != sorted(set(above)):
        raise ConfigError(f"{path}: tier: each tier must begin above the one before")
    return msgspec.structs.replace(book, card=tuple(sorted(book.card, key=lambda card: card.valid_from)))


def _decimals(value: object, where: str) -> Iterator[tuple[str, Decimal]]:
    """Yield every decimal in a record with the key under which it stands in the file."""
    if isinstance(value, Decimal):
        yield where.lstrip("."), value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _decimals(inner, f"{where}.{key}")
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _decimals(inner, f"{where}[{index}]")
    elif isinstance(value, msgspec.Struct):
        for key, inner in msgspec.structs.asdict(value).items():
            yield from _decimals(inner, f"{where}.{key}")


def _node_share(held: Resources, node: NodeShape, partition: str) -> Fraction:
    """Return the largest share held of a node's CPUs, memory or GPUs, in nodes."""
    shares = [
        Fraction(amount) / Fraction(whole)
        for amount, whole in (
            (Fraction(held.cpus), node.cpus),
            (Fraction(held.memory, GIB), node.memory_gib),
            (Fraction(sum(held.gpus.values())), node.gpus),
        )
        if whole
    ]
    if not shares:
        raise RateError(f"partition {partition!r} is priced by node share, but its node has no shape")
    return max(shares)


_PLAIN = PartitionRate()
