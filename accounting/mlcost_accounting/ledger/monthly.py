"""Sums of whole months, so that a year is read in a moment; always recomputed for a whole month."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

TABLE = """
CREATE TABLE monthly (
    month INTEGER NOT NULL,         -- number of its first day
    dim_id INTEGER NOT NULL,
    present INTEGER NOT NULL,       -- runs that ran on the first day
    later INTEGER NOT NULL,         -- runs that began on a later day
    first INTEGER NOT NULL,         -- runs that began on any day
    wall_s INTEGER NOT NULL, cpu_s INTEGER NOT NULL, gpu_s INTEGER NOT NULL, node_s INTEGER NOT NULL,
    cost INTEGER NOT NULL, credit INTEGER NOT NULL, refused INTEGER NOT NULL,
    PRIMARY KEY (month, dim_id)
) WITHOUT ROWID
"""
_SUM = """
INSERT INTO monthly
SELECT ?1, dim_id, SUM(CASE WHEN day = ?1 THEN runs ELSE 0 END),
       SUM(CASE WHEN day = ?1 THEN 0 ELSE first END), SUM(first), SUM(wall_s), SUM(cpu_s), SUM(gpu_s),
       SUM(node_s), SUM(cost), SUM(credit), SUM(refused)
FROM daily WHERE day BETWEEN ?1 AND ?2 GROUP BY dim_id
"""


def month_of(day: int) -> tuple[int, int]:
    """Return the numbers of the first and the last day of the month in which a day lies."""
    first = date.fromordinal(day).replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return first.toordinal(), following.toordinal() - 1


def sum_months(db: sqlite3.Connection, days: Iterable[int]) -> None:
    """Compute the sums of the months of some days again, from the daily sums."""
    for first, last in sorted({month_of(day) for day in days}):
        db.execute("DELETE FROM monthly WHERE month = ?", (first,))
        db.execute(_SUM, (first, last))


def days_of_months_since(db: sqlite3.Connection, day: int) -> list[int]:
    """Return a day of each month with usage from that of a day on."""
    newest = db.execute("SELECT MAX(day) FROM daily").fetchone()[0]
    found = []
    while newest is not None and day <= newest:
        found.append(day)
        day = month_of(day)[1] + 1
    return found
