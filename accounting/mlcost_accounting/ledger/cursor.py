"""How far a cluster was collected, and which of its runs are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger


def read_cursor(ledger: Ledger, cluster: str) -> int | None:
    """Return the end of the newest window that follows the ones before without a gap; None at first."""
    value = ledger.meta(f"through:{cluster}")
    return None if value is None else int(value)


def move_cursor(ledger: Ledger, cluster: str, start: int, end: int) -> None:
    """Note a window as collected; one that leaves a gap after the cursor does not move it."""
    through = read_cursor(ledger, cluster)
    if through is None or start <= through < end:
        ledger.set_meta(f"through:{cluster}", str(end))


def read_back_cursor(ledger: Ledger, cluster: str) -> int | None:
    """Return how far back the back-fill has come; None before it began."""
    value = ledger.meta(f"back:{cluster}")
    return None if value is None else int(value)


def set_back_cursor(ledger: Ledger, cluster: str, moment: int) -> None:
    """Note how far back the back-fill has come."""
    ledger.set_meta(f"back:{cluster}", str(moment))


def open_jobs(ledger: Ledger, cluster: str, seen_before: int) -> list[tuple[str, int]]:
    """Return (job id for sacct, submitted) of runs that have not ended and were last read before a time."""
    rows = ledger.db.execute(
        "SELECT raw_job_id, MIN(submitted) FROM runs JOIN clusters ON clusters.id = cluster_id "
        "WHERE closed = 0 AND clusters.name = ? AND seen < ? GROUP BY raw_job_id ORDER BY MIN(submitted)",
        (cluster, seen_before),
    )
    return [(row[0], row[1]) for row in rows]
