"""Spans of days that reports, budgets and invoices speak of (pure)."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_accounting.reports import span_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["day", "week", "month", "quarter", "year", "range"]

_FORMS = (
    "write 2026, 2026-Q4, 2026-10, 2026-W41, 2026-10-05, 2026-10-05..2026-10-18, today, yesterday, "
    "or this-/last- with week, month, quarter, year"
)
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_RELATIVE = re.compile(r"(this|last)-(week|month|quarter|year)")
_ONE_DAY = timedelta(days=1)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Days from the first to the last, both included.

    Attributes:
        kind: what kind of span it is; ``range`` for any other days.
        first, last: its days.
    """

    kind: Kind
    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def label(self) -> str:
        """Its name, which :func:`parse_period` reads: ``2026-10``, ``2026-Q4``, ..."""
        if self.kind == "range":
            return f"{self.first}..{self.last}"
        return span_of(self.first, self.kind)

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def previous(self) -> Period:
        """Return the period of the same kind before; for a range the same number of days."""
        before = self.first - _ONE_DAY
        if self.kind == "range":
            return Period(kind="range", first=self.first - timedelta(days=self.days), last=before)
        return period_of(before, self.kind)

    def following(self) -> Period:
        """Return the period of the same kind after; for a range the same number of days."""
        after = self.last + _ONE_DAY
        if self.kind == "range":
            return Period(kind="range", first=after, last=self.last + timedelta(days=self.days))
        return period_of(after, self.kind)

    def until(self, days: int) -> Period:
        """Return its first ``days`` days; itself when it has no more than that."""
        if days >= self.days:
            return self
        return Period(kind="range", first=self.first, last=self.first + timedelta(days=max(1, days) - 1))

    def each_day(self) -> Iterator[date]:
        """Yield its days."""
        for offset in range(self.days):
            yield self.first + timedelta(days=offset)


def period_of(day: date, kind: Kind) -> Period:
    """Return the day, week (Monday first), month, quarter or year in which a day lies."""
    if kind in ("day", "range"):
        return Period(kind="day", first=day, last=day)
    if kind == "week":
        monday = day - timedelta(days=day.weekday())
        return Period(kind=kind, first=monday, last=monday + timedelta(days=6))
    if kind == "month":
        first, months = day.replace(day=1), 1
    elif kind == "quarter":
        first, months = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1), 3
    else:
        first, months = date(day.year, 1, 1), 12
    index = first.year * 12 + first.month - 1 + months
    return Period(kind=kind, first=first, last=date(index // 12, index % 12 + 1, 1) - _ONE_DAY)


def parse_period(text: str, today: date) -> Period:
    """Return the period that a text names.

    Args:
        text: see the error's words for the forms.
        today: the site's day, for ``this-month`` and the like.

    Raises:
        UsageError: when the text names none.
    """
    word = text.strip()
    try:
        found = _parse(word, today)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise UsageError(f"{text!r} is not a period: {_FORMS}")
    return found


def _parse(word: str, today: date) -> Period | None:
    if word in ("today", "yesterday"):
        return period_of(today if word == "today" else today - _ONE_DAY, "day")
    if match := _RELATIVE.fullmatch(word):
        kind: Kind = match[2]  # type: ignore[assignment]  # the pattern allows only kinds
        this = period_of(today, kind)
        return this if match[1] == "this" else this.previous()
    if ".." in word:
        first, last = (date.fromisoformat(part) for part in word.split("..", 1))
        return Period(kind="range", first=first, last=last) if first <= last else None
    if match := _QUARTER.fullmatch(word):
        return period_of(date(int(match[1]), 3 * int(match[2]) - 2, 1), "quarter")
    if match := _WEEK.fullmatch(word):
        return period_of(date.fromisocalendar(int(match[1]), int(match[2]), 1), "week")
    if re.fullmatch(r"\d{4}", word):
        return period_of(date(int(word), 1, 1), "year")
    if re.fullmatch(r"\d{4}-\d{2}", word):
        return period_of(date.fromisoformat(f"{word}-01"), "month")
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
        return period_of(date.fromisoformat(word), "day")
    return None
