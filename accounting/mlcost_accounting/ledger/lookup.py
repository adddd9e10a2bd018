"""Single runs: found by job id, with their raw rows and charges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.ledger.store import Ledger

_RUNS = """
SELECT r.*, c.name AS cluster_name, a.tres, d.account, d.user, d.partition, d.qos, d.state, d.gpu_model,
       d.project, d.pool, d.wckey, d.tag
FROM runs r JOIN clusters c ON c.id = r.cluster_id JOIN allocations a ON a.id = r.allocation_id
JOIN dims d ON d.id = r.dim_id
WHERE {where} ORDER BY r.submitted, r.started, r.id
"""


def find_runs(ledger: Ledger, job_id: str, cluster: str | None = None) -> list[dict[str, Any]]:
    """Return every run of a job, oldest first.

    Args:
        ledger: the ledger.
        job_id: as Slurm prints it (``17``, ``17_3``, ``17+1``); a bare number also finds the array's tasks
            and the components of a heterogeneous job.
        cluster: only that cluster's.
    """
    places = "(r.job_id = ? OR (r.job_id > ? AND r.job_id < ?) OR (r.job_id > ? AND r.job_id < ?))"
    # Texts that begin with "17_" lie between "17_" and "17`", those with "17+" between "17+" and "17,".
    values: list[Any] = [job_id, f"{job_id}_", f"{job_id}`", f"{job_id}+", f"{job_id},"]
    where = places + (" AND c.name = ?" if cluster else "")
    return ledger.rows(_RUNS.format(where=where), [*values, cluster] if cluster else values)


def run_charges(ledger: Ledger, run_id: int, days: Sequence[int]) -> list[dict[str, Any]]:
    """Return a run's charge rows by day, corrections among them.

    Args:
        ledger: the ledger.
        run_id: the run.
        days: the days on which it ran.
    """
    rows = ledger.rows("SELECT * FROM charges WHERE run_id = ? AND corrects != 0", (run_id,))
    for day in days:
        rows += ledger.rows(
            "SELECT * FROM charges WHERE day = ? AND run_id = ? AND corrects = 0", (day, run_id)
        )
    return sorted(rows, key=lambda row: (row["day"], row["corrects"]))


def run_problem(ledger: Ledger, run_id: int) -> dict[str, Any] | None:
    """Return why a run is not charged; None when it is."""
    rows = ledger.rows("SELECT kind, words FROM problems WHERE run_id = ?", (run_id,))
    return rows[0] if rows else None


def raw_row(ledger: Ledger, block: int, row: int) -> dict[str, str]:
    """Return a row as sacct printed it, field name -> text."""
    found = ledger.db.execute(
        "SELECT names, separator, data FROM raw_blocks WHERE id = ?", (block,)
    ).fetchone()
    names, separator, data = found
    text = zstandard.ZstdDecompressor().decompress(data).decode().split("\0")[row]
    if separator == "json":
        return {"record": text}
    return dict(zip(names.split(","), text.split(separator), strict=False))
