"""Plain runs charged many at a time, with whole numbers only (pure).

What is not plain (rules about whole runs, a change of prices, suspension, amounts too large for 64 bits) is
left to :class:`~mlcost_accounting.rating.Rater`; a property test shows that both agree.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlcost_accounting.bulk import Plan
from mlcost_hpc.slurm.repeated import Repeated, together

if TYPE_CHECKING:
    from mlcost_accounting.bulk import RatedKind
    from mlcost_accounting.calendar import Calendar, Integers
    from mlcost_accounting.rating import Rater

    Booleans = np.ndarray[tuple[int], np.dtype[np.bool_]]

_LARGEST = 2**61


class QuickCharges(NamedTuple):
    """Charges of runs on days, as columns; sorted by day and run.

    Attributes:
        charged: for each run that was given, whether it could be charged here.
        run: position of the run.
        day: the day.
        first: 1 on the run's first day.
        wall_s, cpu_s, gpu_s, node_s: what it used on that day.
        cost: micros.
    """

    charged: Booleans
    run: Integers
    day: Integers
    first: Integers
    wall_s: Integers
    cpu_s: Integers
    gpu_s: Integers
    node_s: Integers
    cost: Integers


def quick_charges(
    kinds: Repeated[RatedKind],
    rater: Rater,
    started: Integers,
    elapsed_s: Integers,
    closed_through: int = 0,
) -> QuickCharges:
    """Charge the runs that cost just seconds x price.

    Args:
        kinds: what each run is.
        rater: the prices and the site's days.
        started: when each started (UTC seconds).
        elapsed_s: how long each ran; none was ever suspended.
        closed_through: the last closed day; runs that began by then are not charged here.
    """
    ended = started + elapsed_s
    numerator, denominator = _plans(kinds, rater, started, ended)
    charged = (denominator > 0) & (rater.calendar.days_of(started)[0] > closed_through)
    chosen = np.flatnonzero(charged)
    pieces = _pieces(
        chosen, numerator[chosen], denominator[chosen], rater.calendar, started[chosen], ended[chosen]
    )
    run, day, first, wall, cost = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((run, day))
    run, day, first, wall, cost = run[order], day[order], first[order], wall[order], cost[order]
    held = kinds.take(run)
    return QuickCharges(
        charged, run, day, first, wall,
        wall * held.numbers(attrgetter("cpus")),
        wall * held.numbers(attrgetter("gpus")),
        wall * held.numbers(attrgetter("nodes")),
        cost,
    )  # fmt: skip


def _plans(
    kinds: Repeated[RatedKind], rater: Rater, begin: Integers, end: Integers
) -> tuple[Integers, Integers]:
    """Return micros per second as fractions, 0/0 for runs that no single plan charges from end to end."""
    longest = int((end - begin).max(initial=1))
    first = rater.card_numbers(rater.calendar.days_of(begin)[0])
    last = rater.card_numbers(rater.calendar.days_of(np.maximum(end - 1, begin))[0])
    cards = Repeated.of(np.where(first == last, first, -1).tolist())

    def plan(of: tuple[RatedKind, int]) -> Plan:
        found = of[0].plan(of[1])
        fits = found and found.numerator * longest < _LARGEST and found.denominator < _LARGEST
        return found if found and fits else _NO_PLAN

    plans = together([kinds, cards]).map(plan)
    return plans.numbers(attrgetter("numerator")), plans.numbers(attrgetter("denominator"))


def _pieces(
    position: Integers,
    numerator: Integers,
    denominator: Integers,
    calendar: Calendar,
    begin: Integers,
    end: Integers,
) -> list[tuple[Integers, Integers, Integers, Integers, Integers]]:
    """Return (position, day, first, wall, cost) of all first days, all second days, and so on."""
    found: list[tuple[Integers, Integers, Integers, Integers, Integers]] = []
    since = begin
    charged: Integers = np.zeros_like(begin)
    first = np.ones_like(begin)
    while len(position) or not found:
        day, day_ends = calendar.days_of(since)
        until = np.minimum(end, day_ends)
        total = _half_to_even(np.multiply(numerator, until - begin), denominator)
        found.append((position, day, first, until - since, total - charged))
        on = until < end
        position, begin, end, since, charged = position[on], begin[on], end[on], until[on], total[on]
        numerator, denominator, first = numerator[on], denominator[on], np.zeros_like(first[on])
    return found


def _half_to_even(numerator: Integers, denominator: Integers) -> Integers:
    """Return the quotients rounded as :func:`mlcost_hpc.money.round_micros` does."""
    quotient, rest = np.divmod(numerator, denominator)
    twice = 2 * rest
    up = (twice > denominator) | ((twice == denominator) & (quotient % 2 == 1))
    rounded: Integers = quotient + up
    return rounded


_NO_PLAN = Plan(0, 0)
