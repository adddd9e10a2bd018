"""Closing periods: what was charged becomes an invoice that never changes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from mlcost_accounting.dims import Dims
from mlcost_hpc.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger

_LINES = """
INSERT INTO invoice_lines
SELECT ?, dim_id, SUM(runs), SUM(refused), SUM(wall_s), SUM(cpu_s), SUM(gpu_s), SUM(node_s), SUM(cost),
       SUM(credit)
FROM daily WHERE day BETWEEN ? AND ? GROUP BY dim_id
"""


def closed_through(ledger: Ledger) -> date | None:
    """Return the last day of the newest closed period; None when none is closed."""
    number = int(ledger.meta("closed_through") or 0)
    return date.fromordinal(number) if number else None


def close_period(
    ledger: Ledger, period: str, first: date, last: date, *, author: str, today: date, now: int
) -> None:
    """Close a period. What becomes known later about its days is corrected in the first open day.

    Args:
        ledger: the ledger.
        period: its name, for instance ``2026-10``.
        first: its first day.
        last: its last day.
        author: who closes it.
        today: today in the site's time zone; the period must be over.
        now: UTC seconds.

    Raises:
        UsageError: when the period is not over, or closed already.
        LedgerError: when days before it are still open, or clusters were not read to its end.
    """
    if last >= today:
        raise UsageError(f"{period} is not over: it ends on {last}")
    before = closed_through(ledger)
    if before and first <= before:
        raise UsageError(f"days through {before} are closed; {period} begins on {first}")
    ledger.refresh()
    _check_complete(ledger, period, first, before)
    with ledger.transaction() as db:
        db.execute(
            "INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)",
            (period, first.toordinal(), last.toordinal(), ledger.meta("currency") or "", author, now),
        )
        db.execute(_LINES, (period, first.toordinal(), last.toordinal()))
        ledger.set_meta("closed_through", str(last.toordinal()))


def list_invoices(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the closed periods, oldest first, with their totals."""
    return ledger.rows(
        "SELECT i.*, COALESCE(SUM(l.cost), 0) AS cost, COALESCE(SUM(l.refused), 0) AS refused "
        "FROM invoices i LEFT JOIN invoice_lines l ON l.period = i.period "
        "GROUP BY i.period ORDER BY i.first_day"
    )


def invoice_lines(ledger: Ledger, period: str) -> list[dict[str, Any]]:
    """Return what was invoiced for a closed period, by all report dimensions.

    Raises:
        UsageError: when it is not closed.
    """
    if not ledger.rows("SELECT 1 FROM invoices WHERE period = ?", (period,)):
        raise UsageError(f"{period} is not closed: `mlcost ledger close {period}`")
    names = ", ".join(f"d.{name}" for name in Dims._fields)
    return ledger.rows(
        f"SELECT {names}, l.runs, l.refused, l.wall_s, l.cpu_s, l.gpu_s, l.node_s, l.cost, l.credit "  # noqa: S608
        f"FROM invoice_lines l JOIN dims d ON d.id = l.dim_id WHERE l.period = ? ORDER BY {names}",
        (period,),
    )


def _check_complete(ledger: Ledger, period: str, first: date, before: date | None) -> None:
    since = before.toordinal() if before else 0
    row = ledger.db.execute(
        "SELECT MIN(day) FROM daily WHERE day > ? AND day < ?", (since, first.toordinal())
    ).fetchone()
    if row[0] is not None:
        raise LedgerError(f"{date.fromordinal(row[0])} is still open: close what is before {period} first")


def next_open_day(ledger: Ledger) -> date | None:
    """Return the day on which corrections are posted; None while no period is closed."""
    through = closed_through(ledger)
    return through + timedelta(days=1) if through else None
