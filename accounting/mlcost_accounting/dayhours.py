"""Factors by time of day: a span of time weighed by the rules of a rate card (pure)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.calendar import Calendar
    from mlcost_hpc.rate_rules import HoursRule

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Window = tuple[int, int, Fraction]


class DayHours:
    """Weighs spans of time within one day each.

    Args:
        rules: the card's rules, the first that fits a moment holds.
        calendar: the site's days.
    """

    def __init__(self, rules: Sequence[HoursRule], calendar: Calendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._windows: dict[int, tuple[_Window, ...]] = {}

    def weigh(self, day: int, start: int, stop: int) -> Fraction:
        """Return the seconds of ``[start, stop)``, a part of one day, each times its factor."""
        if not self._rules:
            return Fraction(stop - start)
        if day not in self._windows:
            self._windows[day] = self._cut(day)
        return sum(
            (
                (min(stop, end) - max(start, begin)) * factor
                for begin, end, factor in self._windows[day]
                if begin < stop and end > start
            ),
            Fraction(0),
        )

    def _cut(self, day: int) -> tuple[_Window, ...]:
        """Return the day as windows of one factor each."""
        today = date.fromordinal(day)
        begins, ends = self._calendar.begins(today), self._calendar.begins(today + timedelta(days=1))
        spans = [
            (*self._span(rule, today + timedelta(days=shift)), Fraction(rule.multiplier))
            for rule in self._rules
            for shift in (0, -1)
            if not rule.days or _DAYS[(today + timedelta(days=shift)).weekday()] in rule.days
        ]
        cuts = {begins, ends} | {moment for span in spans for moment in span[:2] if begins < moment < ends}
        edges = sorted(cuts)
        return tuple(
            (
                begin,
                end,
                next((factor for since, until, factor in spans if since <= begin < until), Fraction(1)),
            )
            for begin, end in pairwise(edges)
        )

    def _span(self, rule: HoursRule, day: date) -> tuple[int, int]:
        """Return when a rule holds that begins on a day (UTC seconds)."""
        since, until = time.fromisoformat(rule.since), time.fromisoformat(rule.until)
        last = day if until > since else day + timedelta(days=1)
        zone = self._calendar.zone
        return (
            int(datetime.combine(day, since, zone).timestamp()),
            int(datetime.combine(last, until, zone).timestamp()),
        )
