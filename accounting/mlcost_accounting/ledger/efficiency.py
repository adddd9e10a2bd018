"""What finished runs used of what they held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.steps import JobUse

# Slurm often purges steps long before jobs: only the newest runs are worth asking for.
_NEWEST = 100_000


def runs_without_use(ledger: Ledger, cluster: str, most: int) -> list[dict[str, Any]]:
    """Return finished runs of which nobody asked yet what they used, the newest first."""
    return ledger.rows(
        "SELECT r.id, r.job_id, r.raw_job_id, r.submitted FROM runs r JOIN clusters c ON c.id = r.cluster_id "
        "WHERE r.id > (SELECT MAX(id) FROM runs) - ? AND c.name = ? AND r.closed = 1 AND r.elapsed_s > 0 "
        "AND NOT EXISTS (SELECT 1 FROM efficiency e WHERE e.run_id = r.id) ORDER BY r.id DESC LIMIT ?",
        (_NEWEST, cluster, most),
    )


def keep_use(ledger: Ledger, runs: Iterable[dict[str, Any]], uses: Iterable[JobUse]) -> int:
    """Keep what runs used; one without an answer is noted as not measured, so that it is not asked again.

    Returns:
        The number of runs with a figure.
    """
    known = {(use.job_id, use.submitted): use for use in uses}
    rows = []
    for run in runs:
        use = known.get((run["job_id"], run["submitted"]))
        figures = (None, None, None) if use is None else (use.cpu_ms, use.memory, use.gpu_percent)
        why = "" if any(figure is not None for figure in figures) else "not measured"
        rows.append((run["id"], *figures, why))
    with ledger.transaction() as db:
        db.executemany("INSERT OR REPLACE INTO efficiency VALUES (?, ?, ?, ?, ?)", rows)
    return sum(not row[-1] for row in rows)
