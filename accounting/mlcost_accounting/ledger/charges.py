"""Charges of runs in the ledger. Days of closed periods never change: what differs there is a correction."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from mlcost_accounting.calendar import Integers
    from mlcost_accounting.charge import Charge
    from mlcost_accounting.quickrate import QuickCharges

# Day, run, closed day that is corrected (0 = none), dims, first, the four seconds, cost, credit.
_INSERT = "INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REPRICE = """
UPDATE charges SET dim_id = ?, cost = ?, credit = 0 WHERE day = ? AND run_id = ? AND corrects = 0
"""

_ADDITIVE = ("first", "wall_s", "cpu_s", "gpu_s", "node_s", "cost", "credit")
_SUMS = f"SELECT {', '.join(f'COALESCE(SUM({name}), 0)' for name in _ADDITIVE)} FROM charges"  # noqa: S608


class ChargeBook:
    """Writes the charges of runs.

    Args:
        db: the ledger; everything here belongs in a transaction of the caller.
        closed_through: last day of the newest closed period; 0 = none is closed.
    """

    def __init__(self, db: sqlite3.Connection, closed_through: int) -> None:
        self._db = db
        self.closed_through = closed_through
        self.dirty: set[int] = set()

    def add(self, quick: QuickCharges, run_ids: Integers, dim_ids: Integers) -> None:
        """Write charges of runs that have none yet.

        Args:
            quick: the charges.
            run_ids: number of each run of them.
            dim_ids: report dimensions of each.
        """
        self._db.executemany(
            _INSERT,
            zip(
                quick.day.tolist(),
                run_ids[quick.run].tolist(),
                repeat(0),
                dim_ids[quick.run].tolist(),
                quick.first.tolist(),
                quick.wall_s.tolist(),
                quick.cpu_s.tolist(),
                quick.gpu_s.tolist(),
                quick.node_s.tolist(),
                quick.cost.tolist(),
                repeat(0),
            ),
        )
        self.dirty.update(np.unique(quick.day).tolist())

    def reprice(self, quick: QuickCharges, run_ids: Integers, dim_ids: Integers) -> None:
        """Give the charges of runs other prices and dimensions; the days and seconds stay."""
        runs = run_ids[quick.run].tolist()
        self._db.executemany(
            _REPRICE,
            zip(dim_ids[quick.run].tolist(), quick.cost.tolist(), quick.day.tolist(), runs, strict=True),
        )
        self._db.executemany(
            "DELETE FROM problems WHERE run_id = ?", ((run,) for run in run_ids[quick.charged].tolist())
        )
        self.dirty.update(np.unique(quick.day).tolist())

    def set(self, run_id: int, dim_id: int, charge: Charge, old_days: Iterable[int]) -> None:
        """Make a run's charges what they should be.

        Args:
            run_id: the run.
            dim_id: its report dimensions.
            charge: what it should be charged.
            old_days: days on which it may have charges now, apart from corrections.
        """
        wanted = {part.day: (int(position == 0), *part[1:]) for position, part in enumerate(charge.slices)}
        for day in {*old_days, *wanted}:
            if day > self.closed_through:
                self._replace(run_id, dim_id, day, wanted.get(day))
        closed_days = {day for day in {*old_days, *wanted} if day <= self.closed_through}
        if closed_days:
            self._correct(run_id, dim_id, closed_days, wanted)
        self.set_problem(run_id, charge.problem)

    def set_problem(self, run_id: int, problem: tuple[str, str] | None) -> None:
        """Keep why a run is not charged, or that it is."""
        if problem is None:
            self._db.execute("DELETE FROM problems WHERE run_id = ?", (run_id,))
        else:
            self._db.execute("INSERT OR REPLACE INTO problems VALUES (?, ?, ?)", (run_id, *problem))

    def _replace(self, run_id: int, dim_id: int, day: int, part: Sequence[Any] | None) -> None:
        gone = self._db.execute(
            "DELETE FROM charges WHERE day = ? AND run_id = ? AND corrects = 0", (day, run_id)
        ).rowcount
        if part is not None:
            self._db.execute(_INSERT, (day, run_id, 0, dim_id, *part))
        if gone or part is not None:
            self.dirty.add(day)

    def _correct(
        self, run_id: int, dim_id: int, days: Iterable[int], wanted: dict[int, tuple[Any, ...]]
    ) -> None:
        """Write the difference of closed days into the first open one; the rows add up to what is wanted."""
        posted_on = self.closed_through + 1
        self.dirty.add(posted_on)
        self._db.execute(
            "DELETE FROM charges WHERE day >= ? AND run_id = ? AND corrects != 0", (posted_on, run_id)
        )
        for day in sorted({*days, *self._corrected_days(run_id)}):
            charged = self._charged(run_id, day)
            should = wanted.get(day, (0,) * len(_ADDITIVE))
            change = tuple((new or 0) - old for new, old in zip(should, charged, strict=True))
            if any(change):
                self._db.execute(_INSERT, (posted_on, run_id, day, dim_id, *change))

    def _charged(self, run_id: int, day: int) -> tuple[int, ...]:
        """Return what closed periods hold of a run's day: its own row and the corrections of it."""
        # Two queries, because each has an index of its own.
        own = self._db.execute(
            f"{_SUMS} WHERE day = ? AND run_id = ? AND corrects = 0", (day, run_id)
        ).fetchone()
        later = self._db.execute(
            f"{_SUMS} WHERE run_id = ? AND corrects != 0 AND corrects = ?", (run_id, day)
        ).fetchone()
        return tuple(a + b for a, b in zip(own, later, strict=True))

    def _corrected_days(self, run_id: int) -> list[int]:
        rows = self._db.execute(
            "SELECT DISTINCT corrects FROM charges WHERE run_id = ? AND corrects != 0", (run_id,)
        )
        return [row[0] for row in rows]
