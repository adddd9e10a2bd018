"""Forecasts: expected sums, intervals that hold what they promise, and the day on which money is gone."""

from __future__ import annotations

import random
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from mlcost_accounting.forecast import Trend

MONDAY = date(2026, 11, 23)


def test_steady_spending_is_forecast_exactly() -> None:
    """Days that all cost the same leave no doubt: the interval is a point."""
    estimate = Trend([100] * 56, MONDAY).sum_of(30)
    assert (estimate.low, estimate.expected, estimate.high) == (3000, 3000, 3000)


def test_weekends_are_no_change_of_trend() -> None:
    """A group that rests on weekends is expected to rest on coming ones."""
    weeks = [100, 100, 100, 100, 100, 0, 0] * 8
    trend = Trend(weeks, MONDAY)
    assert [trend.sum_of(days).expected for days in (5, 7, 12)] == [500, 500, 1000]


def test_days_before_the_first_spending_do_not_count() -> None:
    """A group that began a week ago is not taken for one that mostly rests."""
    assert Trend([0] * 100 + [70] * 7, MONDAY).sum_of(10).expected == 700


def test_no_past_means_no_forecast() -> None:
    """Without spending there is nothing to expect and no day of exhaustion."""
    trend = Trend([0] * 30, MONDAY)
    assert trend.sum_of(30).high == 0
    assert trend.exhaustion(100).expected is None


def test_the_interval_holds_about_four_of_five_outcomes() -> None:
    """Over many drawn groups with irregular, skewed spending, 80 % of months end inside the interval."""
    draw = random.Random(7)
    inside = 0
    for _ in range(400):
        mean = draw.uniform(1e6, 1e8)
        days = [int(draw.gammavariate(0.8, mean)) for _ in range(84 + 30)]
        estimate = Trend(days[:84], MONDAY).sum_of(30)
        inside += estimate.low <= sum(days[84:]) <= estimate.high
    assert 0.72 <= inside / 400 <= 0.88


def test_exhaustion_is_where_the_sum_reaches_what_is_left() -> None:
    """At 100 a day, 1,000 are gone on the tenth day."""
    gone = Trend([100] * 28, MONDAY).exhaustion(1000)
    assert gone.expected == gone.earliest == gone.latest == MONDAY + timedelta(days=9)


@given(st.lists(st.integers(0, 10**9), max_size=120), st.integers(1, 400), st.integers(1, 10**11))
def test_estimates_are_ordered(past: list[int], days: int, left: int) -> None:
    """Low is never above expected, nor expected above high; earliest is not after latest."""
    trend = Trend(past, MONDAY)
    estimate = trend.sum_of(days)
    assert 0 <= estimate.low <= estimate.expected <= estimate.high
    gone = trend.exhaustion(left)
    if gone.latest is not None:
        assert gone.earliest is not None
        assert gone.expected is not None
        assert gone.earliest <= gone.expected <= gone.latest
