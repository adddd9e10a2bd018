"""``mlcost attempts``: every run of a job, with the steps it did; Slurm's rows joined with the loop's."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format
    from mlcost_hpc.launch.record import Submission
    from mlcost_hpc.slurm.api import Job, Run, Slurm
    from mlcost_hpc.train.attempts import Attempt

COLUMNS = (
    "job_id", "restart", "state", "partition", "start", "end", "elapsed_s", "first_step", "last_step",
    "lost_steps", "reason",
)  # fmt: skip
_PEOPLE = {
    "job_id": "job", "run": "run", "state": "state", "partition": "partition", "start": "start (UTC)",
    "seconds": "seconds", "steps": "steps", "lost": "lost", "reason": "why it ended",
}  # fmt: skip
_SLACK_S = 60
_SAVED_AT_THE_END = ("preempted", "timeout", "signal", "budget")


@click.command()
@click.argument("job_id", required=False)
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of the run, instead of a job id.")
@format_option
@click.pass_obj
def attempts(context: Context, job_id: str | None, run_dir: Path | None, output_format: Format) -> None:
    """Show every run of a job: when it ran, how it ended, from which step to which.

    A preempted job keeps its id and runs again; each of its runs is one row. Steps are those of the training
    loop (mlcost_hpc.train); other programs have none.
    """
    submission = find_submission(context, job_id, run_dir)
    rows = attempt_rows(context.slurm, submission, job_id or submission.job_id)
    if output_format == "table":
        print_rows([_for_people(row) for row in rows], _PEOPLE, "table", right=("run", "seconds"))
    else:
        print_rows(rows, {name: name for name in COLUMNS}, output_format)


def find_submission(context: Context, job_id: str | None, run_dir: Path | None) -> Submission:
    """Return the record of a job, by its id or its folder.

    Raises:
        UsageError: when neither is given, or nothing is known about it.
    """
    from mlcost_hpc.errors import UsageError
    from mlcost_hpc.launch.record import find_run_dir, read_submission
    from mlcost_hpc.slurm.cluster_settings import read_cluster_settings

    if run_dir is None:
        if job_id is None:
            raise UsageError("give a job id, or --run-dir")
        cluster = read_cluster_settings(context.slurm.config()).cluster
        run_dir = find_run_dir(job_id, cluster)
    return read_submission(run_dir)


def attempt_rows(slurm: Slurm, submission: Submission, job_id: str) -> list[dict[str, Any]]:
    """Return one row a run of a job, or of every task of an array, in order."""
    from mlcost_hpc.errors import SlurmNoAccountingError
    from mlcost_hpc.train.attempts import read_attempts

    since = int(datetime.fromisoformat(submission.submitted).timestamp()) - _SLACK_S
    jobs = slurm.jobs([job_id])
    try:
        runs = slurm.runs_of([job_id], since).runs
    except SlurmNoAccountingError:
        runs = ()
    folders = [submission.run_dir, *sorted(submission.run_dir.glob("tasks/*"))]
    done = [attempt for folder in folders for attempt in read_attempts(folder)]
    names = dict.fromkeys([*(run.job_id for run in runs), *(attempt.job_id for attempt in done)])
    wanted = [name for name in names if name == job_id or name.partition("_")[0] == job_id]
    return [row for name in wanted for row in join(name, runs, done, jobs)]


def join(
    job_id: str, runs: Sequence[Run], attempts: Sequence[Attempt], jobs: Sequence[Job]
) -> list[dict[str, Any]]:
    """Return one row a run of one job: its n-th row in the accounting is its restart number n (pure).

    The controller's word on the last run is newer than the accounting's and wins.
    """
    rows = sorted((run for run in runs if run.job_id == job_id), key=lambda run: run.submitted or 0)
    by_restart = {attempt.restart: attempt for attempt in attempts if attempt.job_id == job_id}
    live = next((job for job in jobs if job.job_id == job_id), None)
    count = max(len(rows), *(restart + 1 for restart in by_restart), live.restarts + 1 if live else 0, 0)
    joined = [
        _row(job_id, number, rows[number] if number < len(rows) else None, by_restart.get(number))
        for number in range(count)
    ]
    if live is not None:
        _update(joined[live.restarts], live)
    for row, following in pairwise(joined):
        if row["reached_step"] is not None and following["first_step"] is not None:
            row["lost_steps"] = max(0, row["reached_step"] - following["first_step"])
    return joined


def _row(job_id: str, restart: int, run: Run | None, attempt: Attempt | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "job_id": job_id, "restart": restart, "state": None, "partition": None, "start": None, "end": None,
        "elapsed_s": None, "first_step": None, "last_step": None, "reached_step": None, "lost_steps": None,
        "reason": None, "save_s": None, "restart_s": None,
    }  # fmt: skip
    if run is not None:
        row |= {
            "state": run.state, "partition": run.partition, "start": iso(run.started),
            "end": iso(run.ended), "elapsed_s": run.elapsed_s,
        }  # fmt: skip
    if attempt is not None:
        row |= {
            "first_step": attempt.first_step,
            "last_step": attempt.last_step,
            "reached_step": max(attempt.reached_step, attempt.last_step),
            "reason": attempt.reason,
            "save_s": attempt.save_seconds if attempt.reason in _SAVED_AT_THE_END else None,
            "restart_s": _restart_s(run, attempt),
        }
        row["start"] = row["start"] or _second(attempt.started)
        row["end"] = row["end"] or (_second(attempt.ended) if run is None else None)
    return row


def _restart_s(run: Run | None, attempt: Attempt) -> float | None:
    """Return the seconds from the start of a run to its first step: launching, and loading the checkpoint."""
    if run is None or run.started is None:
        return attempt.restore_seconds
    began = datetime.fromisoformat(attempt.started).timestamp()
    return max(0.0, began - run.started) + (attempt.restore_seconds or 0.0)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    known = row["first_step"] is not None
    return {
        "job_id": row["job_id"],
        "run": row["restart"] + 1,
        "state": row["state"],
        "partition": row["partition"],
        "start": row["start"] and row["start"][5:19].replace("T", " "),
        "seconds": row["elapsed_s"],
        "steps": f"{row['first_step']} to {row['last_step']}" if known else None,
        "lost": row["lost_steps"],
        "reason": row["reason"],
    }


def _update(row: dict[str, Any], live: Job) -> None:
    row["state"] = live.state
    if live.partitions:
        row["partition"] = ",".join(live.partitions)
    if live.state == "PENDING":
        return
    row["start"] = iso(live.started) or row["start"]
    if live.state not in ("RUNNING", "SUSPENDED", "COMPLETING") and live.ended is not None:
        row["end"] = iso(live.ended)
        row["elapsed_s"] = live.ended - live.started if live.started else row["elapsed_s"]


def iso(seconds: int | None) -> str | None:
    """Return UTC seconds as ISO 8601 text."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _second(text: str | None) -> str | None:
    return None if text is None else datetime.fromisoformat(text).isoformat(timespec="seconds")
