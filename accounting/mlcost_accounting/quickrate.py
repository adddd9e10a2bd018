"""Plain runs charged many at a time, with whole numbers only (pure).

What is not plain (rules about whole runs, a change of prices, suspension, amounts too large for 64 bits) is
left to :class:`~mlcost_accounting.rating.Rater`; a property test shows that both agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.bulk import Plan, RatedKind
    from mlcost_accounting.calendar import Integers
    from mlcost_accounting.rating import Rater

_LARGEST = 2**61


class QuickCharges(NamedTuple):
    """The runs that could be charged here.

    Attributes:
        rows: their positions.
        slices: their days: (position, day, 1 on the first, wall, CPU, GPU, node seconds, cost in micros).
        days: all those days.
    """

    rows: set[int]
    slices: list[tuple[int, int, int, int, int, int, int, int]]
    days: set[int]


NO_CHARGES = QuickCharges(set(), [], set())


def quick_charges(
    kinds: Sequence[RatedKind], rater: Rater, started: Sequence[int], elapsed_s: Sequence[int]
) -> QuickCharges:
    """Charge the runs that cost just seconds x price.

    Args:
        kinds: what each run is.
        rater: the prices and the site's days.
        started: when each started (UTC seconds).
        elapsed_s: how long each ran; none was ever suspended.
    """
    if not kinds:
        return NO_CHARGES
    begin, seconds = np.array(started, dtype=np.int64), np.array(elapsed_s, dtype=np.int64)
    rows, plans = _plain(kinds, rater, begin, begin + seconds)
    if not rows:
        return NO_CHARGES
    chosen = np.array(rows, dtype=np.int64)
    pieces = _pieces(chosen, plans, rater, begin[chosen], begin[chosen] + seconds[chosen])
    position, day, first, wall, cost = (np.concatenate(column) for column in zip(*pieces, strict=True))
    held = [kinds[row] for row in position.tolist()]
    slices = zip(
        position.tolist(),
        day.tolist(),
        first.tolist(),
        wall.tolist(),
        (wall * _numbers([kind.cpus for kind in held])).tolist(),
        (wall * _numbers([kind.gpus for kind in held])).tolist(),
        (wall * _numbers([kind.nodes for kind in held])).tolist(),
        cost.tolist(),
        strict=True,
    )
    return QuickCharges(set(rows), list(slices), set(np.unique(day).tolist()))


def _plain(
    kinds: Sequence[RatedKind], rater: Rater, begin: Integers, end: Integers
) -> tuple[list[int], list[Plan]]:
    """Return the positions of the runs that one plan charges from end to end, and the plans."""
    longest = int((end - begin).max())
    first = rater.card_numbers(rater.calendar.days_of(begin)[0])
    last = rater.card_numbers(rater.calendar.days_of(np.maximum(end - 1, begin))[0])
    rows, plans = [], []
    for row, (kind, card, same) in enumerate(
        zip(kinds, first.tolist(), (first == last).tolist(), strict=True)
    ):
        plan = kind.plan(card) if same else None
        if plan is not None and plan.numerator * longest < _LARGEST and plan.denominator < _LARGEST:
            rows.append(row)
            plans.append(plan)
    return rows, plans


def _pieces(
    position: Integers, plans: Sequence[Plan], rater: Rater, begin: Integers, end: Integers
) -> list[tuple[Integers, Integers, Integers, Integers, Integers]]:
    """Return (position, day, first, wall, cost) of all first days, all second days, and so on."""
    numerator = _numbers([plan.numerator for plan in plans])
    denominator = _numbers([plan.denominator for plan in plans])
    found = []
    since = begin
    charged: Integers = np.zeros_like(begin)
    first = np.ones_like(begin)
    while len(position):
        day, day_ends = rater.calendar.days_of(since)
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


def _numbers(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)
