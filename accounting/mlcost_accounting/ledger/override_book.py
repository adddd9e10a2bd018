"""Budget overrides, as the comments of jobs tell them: kept from the first time that a job is seen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.overrides import MARK, parse_override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.overrides import Override
    from mlcost_hpc.slurm.api import Job
    from mlcost_hpc.slurm.sacct_columns import RunColumns

_KEEP = """
INSERT INTO budget_overrides VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET submitted = MIN(submitted, excluded.submitted)
"""
_PART = re.compile(r"[_+].*")


class OverriddenJob(NamedTuple):
    """A job that went past a hard budget.

    Attributes:
        cluster, job: which; of an array the array's own id.
        submitted: when (UTC seconds); 0 = not known.
        user, account: whose, as Slurm says.
        told: what its comment says.
        seen_as: the id of one of its runs in the ledger; empty = none is there yet.
    """

    cluster: str
    job: str
    submitted: int
    user: str
    account: str
    told: Override
    seen_as: str


def keep_overrides_of_runs(ledger: Ledger, columns: RunColumns) -> None:
    """Keep the overrides that accounting rows tell of."""
    rows = [number for number, comment in enumerate(columns.comment) if MARK in comment]
    _keep(
        ledger,
        [
            (
                columns.cluster[row], _PART.sub("", columns.job_id[row]), columns.comment[row],
                columns.submitted[row] or 0, columns.user[row], columns.account[row],
            )
            for row in rows
        ],
    )  # fmt: skip


def keep_overrides_of_jobs(ledger: Ledger, cluster: str, jobs: Iterable[Job]) -> None:
    """Keep the overrides that jobs in the queue tell of: some clusters keep comments nowhere else."""
    _keep(
        ledger,
        [
            (cluster, _PART.sub("", job.job_id), job.comment, job.submitted or 0, job.user, job.account)
            for job in jobs
            if MARK in job.comment
        ],
    )


def overridden_jobs(ledger: Ledger) -> list[OverriddenJob]:
    """Return the jobs that went past hard budgets, the newest first."""
    # Pages open the ledger for reading: one that an older version wrote has another table of that name.
    if not ledger.rows("SELECT 1 FROM pragma_table_info('budget_overrides') WHERE name = 'job'"):
        return []
    found = []
    for cluster, job, submitted, user, account, comment, seen_as in ledger.db.execute(_LIST):
        told = parse_override(comment)
        if told is not None:
            found.append(OverriddenJob(cluster, job, submitted, user, account, told, seen_as or ""))
    return found


_LIST = """
SELECT cluster, job, submitted, user, account, comment, (
    SELECT MIN(job_id) FROM runs JOIN clusters ON clusters.id = cluster_id
    WHERE clusters.name = o.cluster AND (
        job_id = o.job OR (job_id > o.job || '_' AND job_id < o.job || '`')
        OR (job_id > o.job || '+' AND job_id < o.job || ',')
    )
)
FROM budget_overrides o ORDER BY submitted DESC, cluster, job
"""


def _keep(ledger: Ledger, rows: Sequence[tuple[str, str, str, int, str, str]]) -> None:
    if rows:
        with ledger.transaction() as db:
            db.executemany(_KEEP, rows)
