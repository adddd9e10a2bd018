"""Budgets and commitments in the ledger."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.budgets.records import Budget
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_accounting.budgets.commitments import Commitments
    from mlcost_accounting.ledger.store import Ledger


class BudgetBook:
    """The ledger's budgets.

    Args:
        ledger: the ledger; open for writing where something is written.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, budget: Budget, *, author: str, reason: str, now: int) -> None:
        """Add a budget.

        Raises:
            UsageError: when one of that name holds already.
        """
        record = msgspec.json.encode(budget).decode()
        added = self._ledger.db.execute(
            "INSERT OR IGNORE INTO budgets (name, record, author, reason, created) VALUES (?, ?, ?, ?, ?)",
            (budget.name, record, author, reason, now),
        ).rowcount
        if not added:
            raise UsageError(
                f"there is a budget {budget.name!r} already: remove it first, or take another name"
            )
        # What an earlier budget of that name had crossed, this one has not; how often it was, stays: it is
        # part of the alerts' keys.
        self._ledger.db.execute(
            "UPDATE budget_watches SET memory = json_set(memory, '$.crossed', json_array()) WHERE budget = ?",
            (budget.name,),
        )

    def remove(self, name: str, *, author: str, now: int) -> None:
        """Remove a budget; its record stays.

        Raises:
            UsageError: when there is none of that name.
        """
        removed = self._ledger.db.execute(
            "UPDATE budgets SET removed = ?, removed_by = ? WHERE name = ? AND removed IS NULL",
            (now, author, name),
        ).rowcount
        if not removed:
            raise UsageError(f"there is no budget {name!r}")

    def all(self) -> list[Budget]:
        """Return the budgets that were not removed, by name."""
        rows = self._ledger.db.execute("SELECT record FROM budgets WHERE removed IS NULL ORDER BY name")
        return [msgspec.json.decode(row[0], type=Budget) for row in rows]

    def find(self, name: str) -> Budget:
        """Return a budget.

        Raises:
            UsageError: when there is none of that name.
        """
        for budget in self.all():
            if budget.name == name:
                return budget
        raise UsageError(f"there is no budget {name!r}")

    def replace_commitments(self, cluster: str, commitments: Commitments, now: int) -> None:
        """Keep what a cluster's jobs may still use, instead of what was kept before."""
        rows = [(cluster, *key, part.jobs, part.cost, part.gpu_s) for key, part in commitments.parts.items()]
        with self._ledger.transaction() as db:
            db.execute("DELETE FROM commitments WHERE cluster = ?", (cluster,))
            db.executemany("INSERT INTO commitments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute("INSERT OR REPLACE INTO commitments_taken VALUES (?, ?)", (cluster, now))

    def commitments(self, budget: Budget, accounts: tuple[str, ...]) -> dict[date, int]:
        """Return what jobs may still use of a budget, day by day, in its unit."""
        targets = accounts if budget.scope == "account" else (budget.target,)
        column = "cost" if budget.unit == "money" else "gpu_s"
        marks = ", ".join("?" * len(targets))
        model = "AND gpu_model = ?" if budget.gpu_model else ""
        rows = self._ledger.db.execute(
            f"SELECT day, SUM({column}) FROM commitments "  # noqa: S608  # names of this module
            f"WHERE {budget.scope} IN ({marks}) {model} GROUP BY day",
            (*targets, *([budget.gpu_model] if budget.gpu_model else [])),
        )
        return {date.fromordinal(row[0]): row[1] for row in rows}

    def commitments_taken(self) -> int | None:
        """Return when the oldest of the clusters' commitments was taken; None = there are none."""
        row = self._ledger.db.execute("SELECT MIN(taken) FROM commitments_taken").fetchone()
        return None if row[0] is None else int(row[0])

    def jobs_committed(self) -> dict[str, int]:
        """Return how many jobs run and wait."""
        return dict(self._ledger.db.execute("SELECT kind, SUM(jobs) FROM commitments GROUP BY kind"))
