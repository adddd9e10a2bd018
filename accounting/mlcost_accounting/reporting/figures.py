"""The figures of a period, as the web pages, the HTML file and the terminal show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_accounting.periods import Period
from mlcost_accounting.reporting.cells import UNFINISHED, Series, Sums, change_percent, unfinished

if TYPE_CHECKING:
    from datetime import date

    from mlcost_accounting.reporting.books import ScopedBooks
    from mlcost_accounting.reporting.cells import Cells

SERIES = 7
"""Layers of a chart at most, ``other`` among them."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table.

    Attributes:
        name: value of the dimension.
        sums: what it used.
        share: its part of the whole cost, per cent.
        before: what it cost in the period before, micros.
        change: by how many per cent that changed; None when it cost nothing before, but does now.
        unfinished: cost of its runs that ended without finishing, micros.
    """

    name: str
    sums: Sums
    share: float
    before: int
    change: float | None
    unfinished: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a period.

    Attributes:
        period: the period.
        compared: the days before that it is compared with; while a period is not over, as many of its
            predecessor's days as have passed.
        currency: what money is counted in; empty = there is no rate card, nothing has a price.
        comparable: False when the ledger does not know all days of ``compared``.
        known: numbers of the first and the last day with usage of anybody; None = there is none.
        total, before: sums of both.
        change: by how many per cent the cost changed.
        unfinished: sums of runs that ended without finishing.
        tables: dimension -> its lines, the dearest first.
        states: lines of the unfinished runs by state.
        buckets, series: the chart: names of the bars, (name, micros of each bar) of the layers.
        series_by: the dimension of the layers.
        dearest: the dearest runs, as :func:`~mlcost_accounting.ledger.dearest.dearest_runs` gives them.
    """

    period: Period
    compared: Period
    currency: str
    comparable: bool
    known: tuple[int, int] | None
    total: Sums
    before: Sums
    change: float | None
    unfinished: Sums
    tables: Mapping[str, Sequence[Line]]
    states: Sequence[Line]
    buckets: Sequence[str]
    series: Sequence[tuple[str, Sequence[int]]]
    series_by: str
    dearest: Sequence[Mapping[str, Any]]

    @property
    def is_empty(self) -> bool:
        """True when nothing ran in the period and nothing was charged."""
        return not self.total.runs and not self.total.cost


def figures_of(
    books: ScopedBooks,
    period: Period,
    today: date,
    *,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
    tables: Sequence[str],
    series_by: str,
    most_runs: int = 15,
) -> Figures:
    """Return the figures of a period.

    Args:
        books: the ledger as the viewer may see it.
        period: the period.
        today: the site's day.
        wanted: dimension -> the values that count; None = all.
        tables: the dimensions to list.
        series_by: dimension of the chart's layers.
        most_runs: how many of the dearest runs to list.
    """
    compared = compared_with(period, today)
    now, before = books.totals(period, wanted), books.totals(compared, wanted)
    series = books.series(period, series_by, wanted)
    dearest = books.dearest_runs(period, wanted, most_runs) if most_runs else []
    return _figures(books, (period, compared), (now, before), tables, series_by, series, dearest)


def waste_of(
    books: ScopedBooks, period: Period, today: date, *, tables: Sequence[str], most_runs: int = 15
) -> tuple[Figures, Figures]:
    """Return the figures of all runs, without a chart, and of those that ended without finishing.

    Args:
        books: the ledger as the viewer may see it.
        period: the period.
        today: the site's day.
        tables: the dimensions to list the unfinished by.
        most_runs: how many of the dearest unfinished runs to list.
    """
    compared = compared_with(period, today)
    now, before = books.totals(period), books.totals(compared)
    wanted = {"state": tuple(UNFINISHED)}
    series = books.series(period, "state", wanted)
    dearest = books.dearest_runs(period, wanted, most_runs)
    periods, lost = (period, compared), (unfinished(now), unfinished(before))
    return (
        _figures(books, periods, (now, before), (), "state", Series([], []), []),
        _figures(books, periods, lost, tables, "state", series, dearest),
    )


def _figures(
    books: ScopedBooks,
    periods: tuple[Period, Period],
    cells: tuple[Cells, Cells],
    tables: Sequence[str],
    series_by: str,
    series: Series,
    dearest: Sequence[Mapping[str, Any]],
) -> Figures:
    """Return the figures of a period and the one it is compared with, from what was read of both."""
    (period, compared), (now, before) = periods, cells
    lost, known = unfinished(now), books.days_known()
    total, total_before = now.total(), before.total()
    return Figures(
        period=period,
        compared=compared,
        currency=books.currency,
        comparable=known is not None and known[0] <= compared.first.toordinal(),
        known=known,
        total=total,
        before=total_before,
        change=change_percent(total.cost, total_before.cost),
        unfinished=lost.total(),
        tables={name: lines_of(now, before, lost, name) for name in tables},
        states=lines_of(lost, unfinished(before), lost, "state"),
        buckets=series.buckets,
        series=series.layers(SERIES),
        series_by=series_by,
        dearest=dearest,
    )


def compared_with(period: Period, today: date) -> Period:
    """Return the days a period is compared with."""
    previous = period.previous()
    return previous.until((today - period.first).days + 1) if today in period else previous


def lines_of(now: Cells, before: Cells, lost: Cells, dimension: str) -> list[Line]:
    """Return the lines of a dimension; values that cost something only before are left out."""
    whole = now.total().cost
    earlier, unfinished_by = before.by(dimension), lost.by(dimension)
    nothing = Sums()
    return [
        Line(
            name=name,
            sums=sums,
            share=100 * sums.cost / whole if whole else 0.0,
            before=earlier.get(name, nothing).cost,
            change=change_percent(sums.cost, earlier.get(name, nothing).cost),
            unfinished=unfinished_by.get(name, nothing).cost,
        )
        for name, sums in now.by(dimension).items()
    ]
