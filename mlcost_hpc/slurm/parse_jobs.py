"""``squeue`` -> :class:`~mlcost_hpc.slurm.api.Job` records (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError, UnitError
from mlcost_hpc.slurm.api import Job, Reject
from mlcost_hpc.slurm.commands import SQUEUE_FIELDS
from mlcost_hpc.slurm.hostlist import expand_hostlist
from mlcost_hpc.slurm.rows import split_rows
from mlcost_hpc.slurm.scontrol_text import check_whole
from mlcost_hpc.slurm.values import (
    parse_count,
    parse_limit,
    parse_moment,
    parse_names,
    parse_tres_cached,
    text_or_empty,
)

if TYPE_CHECKING:
    from collections.abc import Collection

QUESTION = "squeue"
_WIDTH = len(SQUEUE_FIELDS)


def parse_jobs(text: str, separator: str) -> tuple[Job, ...]:
    """Return the jobs of an answer in its order.

    Raises:
        SlurmAnswerError: when the answer is cut off, or a row is no job. A login banner and the line that
            names the cluster of a ``--clusters`` call are passed over.
    """
    check_whole(text, QUESTION)
    jobs: list[Job] = []
    for row in split_rows(text, separator, _WIDTH):
        if not isinstance(row, Reject):
            jobs.append(_job(row))
        elif separator in row.text:
            raise SlurmAnswerError(f"{QUESTION}: {row.why}: {row.text[:120]!r}")
    if not jobs and text.strip() and not _only_banner(text):
        raise SlurmAnswerError(f"{QUESTION} answered something else than expected: {text.strip()[:120]!r}")
    return tuple(jobs)


def is_wanted(job: Job, job_ids: Collection[str]) -> bool:
    """Tell whether a job is among ids: its own, Slurm's number, that of its array or heterogeneous job."""
    whole = job.job_id.partition("_")[0].partition("+")[0]
    return job.job_id in job_ids or job.raw_job_id in job_ids or whole in job_ids


def _only_banner(text: str) -> bool:
    return all(line.startswith("CLUSTER: ") for line in text.strip().split("\n"))


def _job(row: list[str]) -> Job:
    (
        job_id, raw_job_id, user, account, partition, qos, state, submitted, started, ended, limit, restarts,
        tres, nodes, preempted, requeue, reason, name, comment, _,
    ) = row  # fmt: skip
    try:
        return Job(
            job_id=job_id,
            raw_job_id=raw_job_id,
            name=name,
            user=user,
            account=text_or_empty(account),
            partitions=parse_names(partition),
            qos=text_or_empty(qos),
            state=state.upper(),
            reason=text_or_empty(reason),
            submitted=parse_moment(submitted),
            started=parse_moment(started),
            ended=parse_moment(ended),
            time_limit_s=parse_limit(limit),
            restarts=parse_count(restarts) or 0,
            tres=parse_tres_cached(tres),
            node_names=expand_hostlist(nodes),
            preempted=parse_moment(preempted),
            comment=text_or_empty(comment),
            requeue=requeue == "1",
        )
    except UnitError as error:
        raise SlurmAnswerError(f"{QUESTION}: job {job_id}: {error}") from None
