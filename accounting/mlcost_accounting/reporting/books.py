"""The ledger as one viewer may see it: no query without the viewer's scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_accounting.ledger import scoped
from mlcost_accounting.ledger.closing import invoice_lines, list_invoices
from mlcost_accounting.ledger.dearest import dearest_parts, dearest_runs
from mlcost_accounting.ledger.lookup import run_charges
from mlcost_accounting.reporting.cells import Cell, Cells, Series, Sums, bucket_name, buckets_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.ledger.scoped import Scope
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period

    Wanted = Mapping[str, str | Sequence[str]]


class ScopedBooks:
    """A ledger and a viewer's scope.

    Args:
        ledger: a ledger open for reading.
        scope: what the viewer may see.
    """

    def __init__(self, ledger: Ledger, scope: Scope) -> None:
        self._ledger = ledger
        self.scope = scope
        self.currency = ledger.meta("currency") or ""

    def totals(self, period: Period, wanted: Wanted | None = None) -> Cells:
        """Return the sums of a period."""
        rows = scoped.cells(self._ledger, self.scope, [period], wanted)
        return Cells([Cell(dims, Sums(*sums)) for _, dims, sums in rows])

    def series(self, period: Period, dimension: str, wanted: Wanted | None = None) -> Series:
        """Return the cost of the parts in which a period is drawn, by the values of a dimension."""
        buckets = buckets_of(period)
        rows = scoped.cost_series(self._ledger, self.scope, buckets, dimension, wanted)
        return Series([bucket_name(bucket) for bucket in buckets], rows)

    def by_month(self, months: Sequence[Period], dimension: str) -> list[tuple[int, str, int]]:
        """Return (index of the month, value of a dimension, micros), the newest month first."""
        rows = scoped.cost_series(self._ledger, self.scope, months, dimension)
        return sorted(rows, key=lambda row: (row[0], row[1]))

    def dearest_runs(
        self, period: Period, wanted: Wanted | None = None, most: int = 15
    ) -> list[dict[str, Any]]:
        """Return the runs that cost most in a period."""
        return dearest_runs(self._ledger, self.scope, period, wanted, most)

    def runs_of_job(self, job_id: str) -> list[dict[str, Any]]:
        """Return every run of a job."""
        return scoped.runs_of_job(self._ledger, self.scope, job_id)

    def parts_of_job(self, job_id: int) -> list[dict[str, Any]]:
        """Return the runs of an array's tasks or a heterogeneous job's components, the dearest first."""
        return dearest_parts(self._ledger, self.scope, job_id)

    def charges_of_run(self, run: dict[str, Any], calendar: Calendar) -> list[dict[str, Any]]:
        """Return the days of a run that :meth:`runs_of_job` gave, corrections included."""
        if run["started"] is None:
            return []
        held_s = run["elapsed_s"] + run["suspended_s"]
        days = [day for day, _, _ in calendar.pieces(run["started"], run["started"] + held_s)]
        return run_charges(self._ledger, run["run_id"], days)

    def entries(self, account: str, period: Period) -> list[dict[str, Any]]:
        """Return what people entered as costs of an account; nothing when it is not the viewer's to see."""
        if not self.scope.covers_account(account):
            return []
        return scoped.entries(self._ledger, [account], period)

    def closed_lines(self, account: str, period: Period) -> list[dict[str, Any]] | None:
        """Return the lines of a closed invoice; None when it is not closed, or not the viewer's to see."""
        closed = any(row["period"] == period.label for row in list_invoices(self._ledger))
        if not closed or not self.scope.covers_account(account):
            return None
        return [row for row in invoice_lines(self._ledger, period.label) if row["account"] == account]

    def names_seen(self, dimension: str) -> list[str]:
        """Return the values of a dimension."""
        return scoped.names_seen(self._ledger, self.scope, dimension)

    def days_known(self) -> tuple[int, int] | None:
        """Return the first and the last day with usage of anybody."""
        return scoped.days_known(self._ledger)

    def closed_through(self) -> int:
        """Return the number of the last day that never changes again; 0 = none."""
        return int(self._ledger.meta("closed_through") or 0)

    def corrections(self, period: Period, wanted: Wanted | None = None) -> int:
        """Return the micros in a period that correct days closed before."""
        return scoped.corrections(self._ledger, self.scope, period, wanted)

    def accounts_known(self) -> list[str]:
        """Return the accounts all of whose runs the viewer may see."""
        return [name for name in self.names_seen("account") if self.scope.covers_account(name)]
