"""What finished runs used of what they held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_accounting.dims import Dims

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.steps import JobUse

_WITH_USE = f"""
SELECT r.job_id, {", ".join(f"d.{name}" for name in Dims._fields)}, r.elapsed_s, a.tres AS allocated,
       e.cpu_used_ms AS cpu_ms, e.memory_used AS memory, e.gpu_percent
FROM runs r JOIN dims d ON d.id = r.dim_id JOIN allocations a ON a.id = r.allocation_id
LEFT JOIN efficiency e ON e.run_id = r.id
WHERE r.closed = 1 AND r.elapsed_s > 0 AND r.ended >= ? AND r.ended < ?
"""  # noqa: S608
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


def runs_with_use(ledger: Ledger, start: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield the runs that ended in a time (UTC seconds) and ran, with what they held and used.

    Each has the report dimensions, ``job_id`` and the fields of
    :class:`~mlcost_accounting.efficiency.Use`; runs nobody asked about have no figures.
    """
    cursor = ledger.db.execute(_WITH_USE, (start, end))
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


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
