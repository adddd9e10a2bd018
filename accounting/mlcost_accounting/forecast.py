"""Where spending is heading: the sum of coming days, and the day on which money is gone (pure).

The past is cut into whole weeks, so that weekends do not look like a change. Coming days are expected at the
mean of their weekday; the interval is the prediction interval of a sum of new weeks whose mean is estimated
from ``n`` past ones: variance ``h s^2 + h^2 s^2 / n`` for ``h`` weeks, with Student's t for ``n - 1`` degrees
of freedom. These are estimates, so they are computed in floating point and rounded to whole amounts.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEKS = 12
"""Whole weeks of the past that are looked at; what is older says little about next month."""

HORIZON = 3 * 366
"""Days after which an exhaustion is called not foreseeable."""

COVERAGE = 80
"""Per cent of outcomes that an interval should hold."""

# Student's t for 80 % two-sided (10 % in each tail) by degrees of freedom; normal beyond the table.
_T = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363)
_NORMAL = 1.282


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """An expected amount with an interval that should hold 80 % of outcomes; never negative."""

    low: int
    expected: int
    high: int

    def plus(self, amount: int) -> Estimate:
        """Return the estimate with a known amount added."""
        return Estimate(low=self.low + amount, expected=self.expected + amount, high=self.high + amount)


class Exhaustion(msgspec.Struct, frozen=True, kw_only=True):
    """When an amount is used up; None = not within the horizon."""

    earliest: date | None
    expected: date | None
    latest: date | None


class Trend:
    """What the past says about coming days.

    Args:
        amounts: spending of each past day, oldest first, the last one the day before ``next_day``. Days
            before the first spending are left out: a group that began last week has one week of past.
        next_day: the first day to come.
    """

    def __init__(self, amounts: Sequence[int], next_day: date) -> None:
        self.next_day = next_day
        began = next((index for index, amount in enumerate(amounts) if amount), len(amounts))
        past = list(amounts[began:])[-7 * WEEKS :]
        whole = past[len(past) % 7 :] if len(past) >= 14 else past
        self._weeks = len(whole) / 7
        self._by_weekday = _weekday_means(whole, next_day)
        self._weekly_sd = _weekly_sd(whole)
        freedom = max(1, int(self._weeks if len(whole) >= 14 else len(whole)) - 1)
        self._t = _T[freedom - 1] if freedom <= len(_T) else _NORMAL

    def sum_of(self, days: int) -> Estimate:
        """Return the estimated sum of the next ``days`` days."""
        mean = sum(self._by_weekday[(self.next_day + timedelta(days=d)).weekday()] for d in range(days))
        return self._around(mean, days)

    def exhaustion(self, left: int) -> Exhaustion:
        """Return when ``left`` is used up, spending as before."""
        dates: dict[str, date] = {}
        mean = 0.0
        for offset in range(HORIZON):
            day = self.next_day + timedelta(days=offset)
            mean += self._by_weekday[day.weekday()]
            if not mean:
                continue
            sums = self._around(mean, offset + 1)
            for name, amount in (("earliest", sums.high), ("expected", sums.expected), ("latest", sums.low)):
                if amount >= left:
                    dates.setdefault(name, day)
            if len(dates) == 3:
                break
        return Exhaustion(
            earliest=dates.get("earliest"), expected=dates.get("expected"), latest=dates.get("latest")
        )

    def _around(self, mean: float, days: int) -> Estimate:
        if not self._weeks:
            return Estimate(low=0, expected=0, high=0)
        weeks = days / 7
        spread = self._t * self._weekly_sd * sqrt(weeks + weeks * weeks / self._weeks)
        # Refunds can make a past day, and so a mean, negative: spending is not expected to be.
        low, expected, high = (max(0, round(amount)) for amount in (mean - spread, mean, mean + spread))
        return Estimate(low=low, expected=expected, high=high)


def _weekday_means(past: Sequence[int], next_day: date) -> list[float]:
    """Return the mean of each weekday; with less than two weeks of past, one mean for all."""
    if len(past) < 14:
        return [fmean(past) if past else 0.0] * 7
    days: list[list[int]] = [[] for _ in range(7)]
    for back, amount in enumerate(reversed(past), start=1):
        days[(next_day - timedelta(days=back)).weekday()].append(amount)
    return [fmean(amounts) for amounts in days]


def _weekly_sd(past: Sequence[int]) -> float:
    """Return the standard deviation of a week's sum; from single days when there are not two weeks."""
    if len(past) >= 14:
        return stdev(sum(past[start : start + 7]) for start in range(0, len(past), 7))
    return stdev(past) * sqrt(7) if len(past) > 1 else float(sum(past)) * 7
