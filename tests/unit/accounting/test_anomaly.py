"""Unusual days: far above their own past, and only then."""

from __future__ import annotations

import random
from datetime import date

from mlcost_accounting.anomaly import find_anomaly

DAY = date(2026, 11, 24)


def test_a_day_ten_times_the_usual_is_found() -> None:
    """A runaway array shows on the day it runs."""
    past = [90, 100, 110, 105, 95, 100, 102] * 5
    found = find_anomaly(past, DAY, 1000)
    assert found is not None
    assert (found.day, found.amount, found.usual) == (DAY, 1000, 100)


def test_an_earlier_outlier_hides_nothing_smaller_than_itself_is_told() -> None:
    """After a day of 1,000, a day of 900 is nothing new, one of 2,000 is."""
    past = [100, 110] * 12 + [1000] + [100] * 5
    assert find_anomaly(past, DAY, 900) is None
    assert find_anomaly(past, DAY, 2000) is not None


def test_a_short_past_says_nothing() -> None:
    """Two weeks are needed before a day can be unusual; days before the first spending do not count."""
    assert find_anomaly([0] * 30 + [100] * 13, DAY, 10_000) is None
    assert find_anomaly([0] * 30 + [100] * 14, DAY, 10_000) is not None


def test_weekend_rest_does_not_make_mondays_unusual() -> None:
    """Days of work after days of rest are usual."""
    past = [100, 120, 110, 90, 100, 0, 0] * 6
    assert find_anomaly(past, DAY, 130) is None


def test_ordinary_spending_raises_few_alarms() -> None:
    """Irregular but unchanged spending is called unusual on less than 2 % of days."""
    draw = random.Random(3)
    alarms = 0
    for _ in range(2000):
        days = [int(draw.gammavariate(2, 1e6)) for _ in range(43)]
        alarms += find_anomaly(days[:42], DAY, days[42]) is not None
    assert alarms < 40
