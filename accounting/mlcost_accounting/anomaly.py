"""Days that cost far more than the days before them (pure).

The measure is the modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): the
distance from the median in units of the median absolute deviation, so that earlier outliers do not hide a
new one.
"""

from __future__ import annotations

from datetime import date
from statistics import fmean, median
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY = 42
"""Days that a day is compared with: six weeks."""

LEAST_HISTORY = 14
"""With fewer days of past nothing is called unusual."""

SCORE = 5.0
"""Modified z-score above which a day is unusual; 3.5 is the textbook's, spending has longer tails."""

TIMES = 2
"""And it must be at least this many times the median."""

# Both deviations, times these, estimate the standard deviation of a normal distribution.
_MAD_SCALE = 1.4826
_MEAN_AD_SCALE = 1.2533


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """A day that cost far more than those before it; amounts as given."""

    day: date
    amount: int
    usual: int
    score: float


def find_anomaly(past: Sequence[int], day: date, amount: int) -> Anomaly | None:
    """Return what is unusual about a day, None when nothing is.

    Args:
        past: amounts of the days before, oldest first; days before the first spending do not count.
        day: the day.
        amount: its amount.
    """
    began = next((index for index, value in enumerate(past) if value), len(past))
    history = list(past[began:])[-HISTORY:]
    if len(history) < LEAST_HISTORY:
        return None
    usual = median(history)
    deviations = [abs(value - usual) for value in history]
    spread = _MAD_SCALE * median(deviations) or _MEAN_AD_SCALE * fmean(deviations)
    if amount <= max(TIMES * usual, *history):
        return None
    score = (amount - usual) / spread if spread else float("inf")
    if score < SCORE:
        return None
    return Anomaly(day=day, amount=amount, usual=round(usual), score=score)
