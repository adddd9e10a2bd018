"""Choosing: a need and offers in, ranked candidates with every term out (pure)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import NoOfferError
from mlcost_hpc.launch.fit import Miss, misses
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.launch.shape import Shape, held, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.rates import RateCard


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that fits, with what it would cost.

    Attributes:
        offer: the offer.
        shape: what the job asks of each node there.
        per_hour: price of the whole job for one hour.
        hours: hours it is expected to run at most: its time limit.
        cost: ``per_hour`` times ``hours``.
    """

    offer: Offer
    shape: Shape
    per_hour: Decimal
    hours: Decimal
    cost: Decimal


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that does not fit, and why."""

    offer: Offer
    misses: tuple[Miss, ...]

    @property
    def distance(self) -> tuple[int, float]:
        """How far it is from fitting: first by the number of misses, then by their size."""
        return len(self.misses), sum(miss.gap for miss in self.misses)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """All offers judged for one need.

    Attributes:
        need: what was asked for.
        ranked: what fits, best first; never empty.
        rejected: what does not, nearest miss first.
    """

    need: Need
    ranked: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...] = ()

    @property
    def best(self) -> Candidate:
        """The one to take."""
        return self.ranked[0]


def choose(need: Need, offers: Sequence[Offer], catalog: Catalog, card: RateCard) -> Choice:
    """Rank the offers that fit a need: cheapest first.

    Among equally cheap ones a guaranteed place wins over a preemptible one, then idle GPUs win over busy
    ones, then speed. The result depends on nothing but the arguments.

    Raises:
        NoOfferError: when nothing fits; names the nearest miss.
    """
    fitting: list[Candidate] = []
    rejected: list[Rejected] = []
    for offer in offers:
        if offer.has_gpus != (need.gpus > 0):
            continue
        shape = shape_of(need, offer)
        found = misses(need, offer, shape, catalog)
        if found:
            rejected.append(Rejected(offer=offer, misses=found))
        else:
            fitting.append(_candidate(need, offer, shape, card))
    rejected.sort(key=lambda item: item.distance)
    if not fitting:
        raise NoOfferError(_nearest(need, rejected))
    fitting.sort(key=_order)
    return Choice(need=need, ranked=tuple(fitting), rejected=tuple(rejected))


def _candidate(need: Need, offer: Offer, shape: Shape, card: RateCard) -> Candidate:
    per_hour = card.per_hour(held(shape, offer), offer.partition, need.qos or "")
    hours = Decimal(need.time_s) / 3600
    return Candidate(offer=offer, shape=shape, per_hour=per_hour, hours=hours, cost=per_hour * hours)


def _order(candidate: Candidate) -> tuple[Decimal, bool, bool, float, str, str]:
    offer, shape = candidate.offer, candidate.shape
    starts_now = offer.gpus_idle >= shape.gpus * shape.nodes and offer.cpus_idle >= shape.cpus * shape.nodes
    return (
        candidate.cost,
        offer.preemptible,
        not starts_now,
        -(offer.tflops or 0.0),
        offer.partition,
        offer.gpu_type,
    )


def _nearest(need: Need, rejected: Sequence[Rejected]) -> str:
    if not rejected:
        kind = "GPUs" if need.gpus else "nodes"
        return f"nothing fits: no partition that is up has {kind} that accept jobs"
    why = "; ".join(miss.why for miss in rejected[0].misses)
    return f"nothing fits; the nearest is {rejected[0].offer.partition}: {why}"
