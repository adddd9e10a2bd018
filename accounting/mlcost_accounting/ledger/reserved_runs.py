"""What jobs in a reservation are charged."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mlcost_hpc.money import round_micros

if TYPE_CHECKING:
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.ledger.store import Ledger

_RUNS = """
SELECT r.id, r.started, r.started + r.elapsed_s + r.suspended_s FROM runs r
JOIN clusters c ON c.id = r.cluster_id
WHERE r.reservation IN (?, ?) AND r.reservation != '' AND c.name = ? AND r.started BETWEEN ? AND ?
"""
# Two queries, because each has an index of its own.
_OWN = "SELECT COALESCE(SUM(cost), 0) FROM charges WHERE day = ? AND run_id = ? AND corrects = 0"
_CORRECTED = "SELECT COALESCE(SUM(cost), 0) FROM charges WHERE corrects = ? AND run_id = ? AND corrects != 0"


def paid_in_reservation(
    ledger: Ledger, calendar: Calendar, cluster: str, names: tuple[str, str], start: int, end: int
) -> dict[int, int]:
    """Return day -> micros that jobs in a reservation are charged for their time in it.

    Args:
        ledger: the ledger.
        calendar: the site's days.
        cluster: the cluster.
        names: its name, which another one can have at another time, and ``#`` with its number.
        start: when this one began (UTC seconds).
        end: when it ended; a job can run on after it.
    """
    paid: dict[int, int] = defaultdict(int)
    for run_id, started, ended in ledger.db.execute(_RUNS, (*names, cluster, start, end - 1)).fetchall():
        for day, begin, stop in calendar.pieces(started, ended):
            inside = min(stop, end) - begin
            if inside > 0:
                cost = sum(
                    ledger.db.execute(query, (day, run_id)).fetchone()[0] for query in (_OWN, _CORRECTED)
                )
                paid[day] += round_micros(cost * inside, stop - begin)
    return paid
