"""Choosing: a need and offers in, ranked candidates with every term out (pure)."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import BudgetError, NoOfferError, UsageError
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.fit import Rejected, misses, nothing_fits
from mlcost_hpc.launch.forecast import Forecast, forecast, job_speed
from mlcost_hpc.launch.limits import over_limits
from mlcost_hpc.launch.memory import wanted_memory
from mlcost_hpc.launch.miss import Miss
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.launch.pricer import Pricer
from mlcost_hpc.launch.shape import Shape, held, shape_of
from mlcost_hpc.launch.speed import Q90

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.speed import Speed
    from mlcost_hpc.rates import RateCard

NO_EVIDENCE = Evidence()
_NEVER_H = 1e6
_WORTH_MEASURING = 0.2


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An offer that fits, with what it would take and cost.

    Attributes:
        offer: the offer.
        shape: what the job asks of each node there.
        per_hour: price of the whole job for one hour.
        forecast: every term of the expected run time and cost.
    """

    offer: Offer
    shape: Shape
    per_hour: Decimal
    forecast: Forecast

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.shape.gpus * self.shape.nodes


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """All offers judged for one need.

    Attributes:
        need: what was asked for.
        ranked: what fits, best first; never empty.
        rejected: what does not, nearest miss first.
        late: what fits but will hardly be done by the deadline, surest first.
        notes: what a person should know about the evidence.
    """

    need: Need
    ranked: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...] = ()
    late: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate:
        """The one to take."""
        return self.ranked[0]


def choose(
    need: Need,
    offers: Sequence[Offer],
    catalog: Catalog,
    card: RateCard,
    evidence: Evidence = NO_EVIDENCE,
    barred: Mapping[str, str] | None = None,
) -> Choice:
    """Rank the offers that fit a need, least expected cost plus value of waiting first.

    Among equally good ones a guaranteed place wins over a preemptible one, then idle GPUs win over busy ones,
    then speed. The result depends on nothing but the arguments.

    Args:
        need: what the job needs.
        offers: what the cluster has.
        catalog: the GPU models.
        card: the prices.
        evidence: the past, measurements, and what stopping costs.
        barred: partition -> why the user may not submit there.

    Raises:
        NoOfferError: when nothing fits, or nothing by the deadline; names the nearest miss.
        BudgetError: when the cheapest costs more than the budget; names its cost.
        UsageError: when the work is in steps and no speed was ever measured.
    """
    judge = _Judge(need, catalog, Pricer(card), evidence)
    fitting: list[Candidate] = []
    rejected: list[Rejected] = []
    for offer in offers:
        if offer.has_gpus != (need.gpus > 0):
            continue
        why = (barred or {}).get(offer.partition)
        found, miss = judge.candidates(offer, () if why is None else (Miss(why=why),))
        fitting += found
        if miss:
            rejected.append(Rejected(offer=offer, misses=miss))
    rejected.sort(key=lambda item: item.distance)
    return _ranked(need, fitting, rejected, evidence, catalog)


class _Judge:
    """Judges offers for one need; what many offers have in common is worked out once."""

    def __init__(self, need: Need, catalog: Catalog, price: Pricer, evidence: Evidence) -> None:
        self._need = need
        self._catalog = catalog
        self._price = price
        self._evidence = evidence
        self._sizes = [
            (wanted, wanted_memory(wanted, max(1, wanted.gpus), evidence.own)) for wanted in _sizes(need)
        ]
        self._speeds: dict[tuple[str, int], Speed | None] = {}

    def candidates(self, offer: Offer, barred: tuple[Miss, ...]) -> tuple[list[Candidate], tuple[Miss, ...]]:
        """Return an offer's candidates, one for each number of GPUs, and why it does not fit the least."""
        fitting, why_not = [], barred
        for wanted, memory in self._sizes:
            shape = shape_of(wanted, offer)
            found = (*barred, *misses(wanted, offer, shape, self._catalog, memory))
            candidate = None if found else self._candidate(wanted, offer, shape)
            if not found:
                found = _no_forecast(self._need, offer, candidate)
            time_s = (wanted.time_s or 0) if candidate is None else candidate.forecast.time_limit_s
            found = (*found, *over_limits(offer.limits, offer.gpu_type, shape, time_s))
            fitting += [candidate] if candidate is not None and not found else []
            if wanted.gpus == self._need.gpus:
                why_not = found
        return fitting, why_not

    def _candidate(self, need: Need, offer: Offer, shape: Shape) -> Candidate | None:
        """Return the candidate of an offer that fits; None when the job's speed there is not known."""
        speed = None
        if need.work is not None:
            speed = self._speed(need.work, offer, max(1, need.gpus))
            if speed is None:
                return None
        per_hour = self._price.per_hour(held(shape, offer), offer.partition, need.qos or offer.qos)
        expected = forecast(need, offer, shape, speed, per_hour, self._evidence)
        return Candidate(offer=offer, shape=shape, per_hour=per_hour, forecast=expected)

    def _speed(self, work: Work, offer: Offer, gpus: int) -> Speed | None:
        key = (offer.gpu_model, gpus)
        if key not in self._speeds:
            self._speeds[key] = job_speed(work, offer, gpus, self._need, self._evidence, self._catalog)
        return self._speeds[key]


def _ranked(
    need: Need, fitting: list[Candidate], rejected: list[Rejected], evidence: Evidence, catalog: Catalog
) -> Choice:
    if not fitting:
        _refuse_unmeasured(need, rejected, evidence)
        raise NoOfferError(nothing_fits(need, rejected, catalog))
    ordered = sorted(fitting, key=_order)
    on_time = [item for item in ordered if _is_on_time(item, need)]
    late = sorted(
        (item for item in ordered if not _is_on_time(item, need)),
        key=lambda item: -(item.forecast.on_time or 0),
    )
    if not on_time:
        best = late[0]
        raise NoOfferError(
            f"nothing is done in time with {need.deadline_probability:.0%} probability; the surest is "
            f"{best.offer.partition} with {_gpus_of(best)}: {best.forecast.on_time:.0%}, "
            f"expected in {best.forecast.to_result_h:.1f} h. {_in_time_with(need, best)}"
        )
    affordable = [item for item in on_time if need.budget is None or item.forecast.cost <= need.budget]
    if not affordable:
        least = min(on_time, key=lambda item: item.forecast.cost)
        raise BudgetError(
            f"the budget is {need.budget}; the cheapest that fits is {least.offer.partition} with "
            f"{_gpus_of(least)}, expected to cost {least.forecast.cost:.4f}. "
            f"Possible with --budget {_rounded_up(least.forecast.cost)}"
        )
    return Choice(
        need=need,
        ranked=tuple(affordable),
        rejected=tuple(rejected),
        late=tuple(late),
        notes=(*evidence.notes, *_guesses(affordable)),
    )


def _guesses(ranked: Sequence[Candidate]) -> Iterator[str]:
    """Yield what measuring would tell: which other GPU types may well be cheaper than the first."""
    first = ranked[0]
    if first.forecast.speed is None:
        return
    rivals: dict[str, float] = {}
    for item in ranked[1:]:
        speed = item.forecast.speed
        is_guess = speed is not None and "scaled" in (speed.source, first.forecast.speed.source)
        if is_guess and item.offer.label not in (first.offer.label, *rivals):
            rivals[item.offer.label] = _chance_of_less(item.forecast, first.forecast)
    likely = {label: chance for label, chance in rivals.items() if chance > _WORTH_MEASURING}
    if likely:
        said = ", ".join(f"{label} {chance:.0%}" for label, chance in likely.items())
        yield f"not measured on all of them, other GPUs may be cheaper ({said}): `mlcost calibrate` tells"


def _chance_of_less(one: Forecast, other: Forecast) -> float:
    """Return how probably one cost is below another, both lognormal with the intervals of the forecasts."""
    spreads = [
        math.log(item.cost_high / item.cost_low) / 2 / Q90 if item.cost_low else 0.0 for item in (one, other)
    ]
    middles = [
        math.log(item.cost_high * item.cost_low) / 2 if item.cost_low else 0.0 for item in (one, other)
    ]
    return NormalDist().cdf((middles[1] - middles[0]) / max(math.hypot(*spreads), 1e-9))


def _rounded_up(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_CEILING)


def _gpus_of(candidate: Candidate) -> str:
    return f"{candidate.gpus} x {candidate.offer.label}" if candidate.gpus else "no GPUs"


def _in_time_with(need: Need, best: Candidate) -> str:
    """Return what would make it possible: more time, or more GPUs where only one number was allowed."""
    later = f"Possible with --deadline {math.ceil(best.forecast.to_result_high)}h"
    if need.gpus and need.gpus_max is None and need.work is not None:
        return f"{later}, or with more GPUs (--gpus {need.gpus}-{need.gpus * 8})"
    return later


def _sizes(need: Need) -> Iterator[Need]:
    """Yield the need for every acceptable number of GPUs, doubling."""
    yield need
    count = need.gpus * 2
    while need.gpus_max is not None and 0 < count <= need.gpus_max:
        yield msgspec.structs.replace(need, gpus=count)
        count *= 2


def _is_on_time(candidate: Candidate, need: Need) -> bool:
    chance = candidate.forecast.on_time
    return chance is None or chance >= need.deadline_probability


def _order(candidate: Candidate) -> tuple[Decimal, bool, bool, float, str, str]:
    offer, shape = candidate.offer, candidate.shape
    starts_now = offer.gpus_idle >= candidate.gpus and offer.cpus_idle >= shape.cpus * shape.nodes
    return (
        candidate.forecast.score,
        offer.preemptible,
        not starts_now,
        -(offer.tflops or 0.0),
        offer.partition,
        offer.gpu_type,
    )


def _no_forecast(need: Need, offer: Offer, candidate: Candidate | None) -> tuple[Miss, ...]:
    """Return why nothing can be said about a job on an offer that it fits; empty when it can."""
    if candidate is not None:
        if candidate.forecast.to_result_h < _NEVER_H:
            return ()
        return (Miss(why=f"jobs in {offer.partition} are stopped sooner than this one can save and restart"),)
    unit = "steps" if need.work is None else need.work.unit
    why = f"nothing says how many {unit} a second this job does on {offer.label}"
    return (Miss(why=why, is_unmeasured=True),)


def _refuse_unmeasured(need: Need, rejected: Sequence[Rejected], evidence: Evidence) -> None:
    if need.work is None or need.work.unit != "steps":
        return
    if any(miss.is_unmeasured for item in rejected for miss in item.misses):
        variants = {item.job for item in evidence.others if item.program and item.program == evidence.program}
        enough = "; one GPU type is enough, for variants of this program were measured" if variants else ""
        raise UsageError(
            "no speed of this job was ever measured, so steps say nothing about hours: run `mlcost "
            f"calibrate` first{enough}, or give the work as hours on a GPU (--work 10h@v100)"
        )
