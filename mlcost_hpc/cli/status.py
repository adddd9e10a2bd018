"""``mlcost status``: this user's jobs that went through the launcher, with progress and cost so far."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format
    from mlcost_hpc.launch.record import Submission
    from mlcost_hpc.slurm.api import Job, Run, Slurm

_PEOPLE = {
    "job_id": "job", "name": "name", "state": "state", "place": "place", "runs": "runs", "progress": "steps",
    "hours": "hours", "cost": "cost", "reason": "waiting for",
}  # fmt: skip
COLUMNS = (
    "job_id", "name", "state", "reason", "partition", "gpu_model", "gpus", "runs", "step", "total_steps",
    "hours", "cost", "currency", "run_dir", "guessed_start",
)  # fmt: skip


@click.command()
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="Jobs to show.")
@format_option
@click.pass_obj
def status(context: Context, last: int, output_format: Format) -> None:
    """Show your latest jobs: state, progress, and cost so far. Two questions to Slurm for all of them."""
    from mlcost_hpc.errors import MlcostError
    from mlcost_hpc.launch.record import read_submission, recent_run_dirs
    from mlcost_hpc.slurm.cluster_settings import read_cluster_settings

    cluster = read_cluster_settings(context.slurm.config()).cluster
    submissions = []
    for run_dir in recent_run_dirs(cluster, last):
        try:
            submissions.append(read_submission(run_dir))
        except MlcostError as error:
            click.echo(f"mlcost: {error}", err=True)
    rows = status_rows(context.slurm, submissions)
    if output_format == "table":
        print_rows([_for_people(row) for row in rows], _PEOPLE, "table", right=("runs", "hours", "cost"))
    else:
        print_rows(rows, {name: name for name in COLUMNS}, output_format)


def status_rows(slurm: Slurm, submissions: list[Submission]) -> list[dict[str, Any]]:
    """Return one row a job: the queue's word first, the accounting's for those it has forgotten."""
    from mlcost_hpc.errors import SlurmError

    if not submissions:
        return []
    ids = [submission.job_id for submission in submissions]
    jobs = slurm.jobs(ids)
    since = min(int(datetime.fromisoformat(item.submitted).timestamp()) for item in submissions) - 60
    try:
        runs = slurm.runs_of(ids, since).runs
    except SlurmError:
        runs = ()  # without accounting the queue's word is all there is
    return [_row(submission, jobs, runs) for submission in submissions]


def _row(submission: Submission, jobs: tuple[Job, ...], runs: tuple[Run, ...]) -> dict[str, Any]:
    best = submission.choice.best
    mine = [job for job in jobs if job.job_id.partition("_")[0] == submission.job_id]
    past = [run for run in runs if run.job_id.partition("_")[0] == submission.job_id and run.started]
    states = {job.state for job in mine} or {run.state for run in past[-1:]}
    reasons = sorted({job.reason for job in mine if job.state == "PENDING" and job.reason})
    now = int(time.time())
    seconds = sum((run.ended or now) - (run.started or now) for run in past)
    step, total = _progress(submission.run_dir)
    return {
        "job_id": submission.job_id,
        "name": submission.name,
        "state": ",".join(sorted(states)) or None,
        "reason": ",".join(reasons) or None,
        "partition": ",".join(sorted({name for job in mine for name in job.partitions}))
        or best.offer.partition,
        "gpu_model": best.offer.gpu_model or None,
        "gpus": best.gpus,
        "runs": len(past),
        "step": step,
        "total_steps": total,
        "hours": round(seconds / 3600, 4),
        "cost": f"{best.per_hour * Decimal(seconds) / 3600:.6f}",
        "currency": submission.currency,
        "run_dir": str(submission.run_dir),
        "guessed_start": _guessed_start(mine),
    }


def _guessed_start(jobs: Sequence[Job]) -> str | None:
    """Return when Slurm guesses that waiting jobs start: it comes with the queue, and can be hours wrong."""
    starts = [job.started for job in jobs if job.state == "PENDING" and job.started]
    return datetime.fromtimestamp(min(starts), UTC).isoformat() if starts else None


def _progress(run_dir: Path) -> tuple[int | None, int | None]:
    from mlcost_hpc.errors import MlcostError
    from mlcost_hpc.train.attempts import read_attempts

    try:
        attempts = read_attempts(run_dir)
    except MlcostError:
        return None, None
    if not attempts:
        return None, None
    return max(attempts[-1].reached_step, attempts[-1].last_step), attempts[-1].total_steps


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    gpus = f"{row['gpus']} x {row['gpu_model']}" if row["gpus"] else "no GPUs"
    known = row["step"] is not None
    guess = f"from {row['guessed_start'][5:16].replace('T', ' ')}?" if row["guessed_start"] else None
    return {
        **row,
        "place": f"{row['partition']}, {gpus}",
        "progress": f"{row['step']} of {row['total_steps'] or '?'}" if known else None,
        "hours": f"{row['hours']:.2f}",
        "cost": f"{Decimal(row['cost']):.4f}",
        "reason": ", ".join(filter(None, [row["reason"], guess])) or None,
    }
