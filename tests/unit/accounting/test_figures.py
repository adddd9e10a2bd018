"""The figures of a period: what one page reads once is what two questions would give."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from mlcost_accounting.ledger.scoped import EVERYTHING, Scope
from mlcost_accounting.periods import parse_period
from mlcost_accounting.reporting.books import ScopedBooks
from mlcost_accounting.reporting.cells import UNFINISHED
from mlcost_accounting.reporting.figures import figures_of, waste_of
from sample_ledger import sample_books

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 11, 25)
TABLES = ("user", "partition")


def test_the_unfinished_are_read_once_and_are_the_same(tmp_path: Path) -> None:
    """The waste page cuts them out of all sums; asked for by their states they are no different."""
    books = sample_books(tmp_path / "ledger.db", TODAY, days=70, per_day=8)
    for scope in (EVERYTHING, Scope(accounts=frozenset({"nlp"}), user="ben")):
        scoped = ScopedBooks(books.ledger, scope)
        for text in ("2026-11", "2026-10", "2026", "2020"):
            period = parse_period(text, TODAY)
            everything, lost = waste_of(scoped, period, TODAY, tables=TABLES)
            asked = figures_of(
                scoped, period, TODAY, wanted={"state": tuple(UNFINISHED)}, tables=TABLES, series_by="state"
            )
            assert lost == asked
            whole = figures_of(scoped, period, TODAY, tables=(), series_by="state", most_runs=0)
            assert everything.states == whole.states
            assert everything.total == whole.total
            assert everything.unfinished == lost.total
    books.ledger.close()
