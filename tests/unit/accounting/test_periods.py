"""Periods: what texts name, which days they have, and what comes before and after."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlcost_accounting.periods import Period, parse_period, period_of

from mlcost_hpc.errors import UsageError

TODAY = date(2026, 11, 25)
KINDS = ("day", "week", "month", "quarter", "year")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2026-Q4", "2026-10-01", "2026-12-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2026-W01", "2025-12-29", "2026-01-04"),
        ("2026-10-25", "2026-10-25", "2026-10-25"),
        ("2026-10-05..2026-10-18", "2026-10-05", "2026-10-18"),
        ("today", "2026-11-25", "2026-11-25"),
        ("yesterday", "2026-11-24", "2026-11-24"),
        ("this-week", "2026-11-23", "2026-11-29"),
        ("last-month", "2026-10-01", "2026-10-31"),
        ("last-quarter", "2026-07-01", "2026-09-30"),
        ("last-year", "2025-01-01", "2025-12-31"),
    ],
)
def test_texts_name_periods(text: str, first: str, last: str) -> None:
    """Every documented form gives its days."""
    period = parse_period(text, TODAY)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    "text",
    ["", "2026-13", "2026-Q5", "2026-W54", "26-01", "2026-02-30", "2026-10-18..2026-10-05", "next-week"],
)
def test_other_texts_are_refused_with_the_forms(text: str) -> None:
    """What names no period is wrong usage, and the words say what to write."""
    with pytest.raises(UsageError, match="2026-Q4"):
        parse_period(text, TODAY)


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.sampled_from(KINDS))
def test_periods_follow_one_another_without_gap(day: date, kind: str) -> None:
    """A day lies in its period, and the one after begins on the next day; so does the one before."""
    period = period_of(day, kind)  # type: ignore[arg-type]
    assert day in period
    assert period.following().first == period.last + timedelta(days=1)
    assert period.following().previous() == period
    assert period.previous().last == period.first - timedelta(days=1)


@given(st.dates(date(2000, 1, 3), date(2099, 1, 1)), st.sampled_from(KINDS))
def test_labels_are_read_back(day: date, kind: str) -> None:
    """The name of a period names that period."""
    period = period_of(day, kind)  # type: ignore[arg-type]
    assert parse_period(period.label, TODAY) == period


def test_the_first_days_of_a_period_are_a_range() -> None:
    """A period cut to the days that have passed can be compared with the same days of another."""
    cut = parse_period("2026-10", TODAY).until(5)
    assert cut == Period(kind="range", first=date(2026, 10, 1), last=date(2026, 10, 5))
    assert len(list(cut.each_day())) == cut.days == 5
