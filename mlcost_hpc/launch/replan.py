"""Asked by the batch script of a job that is about to be requeued whether to move it to a sure place.

``python -m mlcost_hpc.launch.replan RUN_DIR TASK_DIR ATTEMPT PARTITION`` reads the plan that was written at
submission from the run folder, and the training loop's record of this attempt from the task's: of a job that
is no array they are the same. When the job should be moved it says so in one line and submits a small job
that does it. Of a job that keeps no such record nothing counts as done: it may have to begin again.

Why a job: until the batch script has ended, a change of the partition goes into the accounting row of the run
that just ended, and its time would be charged at the price of a place where it never was [measured on 22.05].
Afterwards nothing of the job is left to change it. A waiting job may be moved until it is eligible again,
which takes two minutes by default.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from mlcost_hpc.errors import MlcostError
from mlcost_hpc.launch.environment import submission_environment
from mlcost_hpc.launch.policy import Plan, decide
from mlcost_hpc.launch.render import Templates
from mlcost_hpc.slurm.process import run_as_is

FILE = "deadline.json"
_TEMPLATE = "move.sbatch.j2"
_TIMEOUT_S = 5.0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the training loop says about an attempt; its record holds more.

    Attributes:
        last_step: steps done and saved.
        total_steps: steps wanted; None = not known yet.
        steps_per_second: measured; None = not yet.
    """

    last_step: int = 0
    total_steps: int | None = None
    steps_per_second: float | None = None


def write_plan(run_dir: Path, plan: Plan) -> None:
    """Lay the plan down in a run folder."""
    (run_dir / FILE).write_bytes(msgspec.json.encode(plan) + b"\n")


def read_plan(run_dir: Path) -> Plan | None:
    """Return the plan of a run, None when there is none that can be read."""
    try:
        return msgspec.json.decode((run_dir / FILE).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError):
        return None


def left_s(plan: Plan, record: Path) -> float:
    """Return the seconds of work that are left of a job, in the place where it was.

    Args:
        plan: what was laid down at submission.
        record: the training loop's record of the attempt; without a good one all the work is left.
    """
    try:
        progress = msgspec.json.decode(record.read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return plan.work_s
    if not progress.total_steps:
        return plan.work_s
    steps = progress.total_steps - progress.last_step
    if not progress.steps_per_second:
        return plan.work_s * steps / progress.total_steps
    return steps / progress.steps_per_second


def mover_script(plan: Plan, run_dir: Path, attempt: str, templates: Templates) -> str:
    """Return the batch script of the small job that moves a job once it waits again."""
    job, _, restart = attempt.rpartition(".")
    return templates.render_values(
        _TEMPLATE,
        job=job,
        restart=int(restart),
        partition=plan.sure_partition,
        helper_partition=plan.helper_partition,
        output=f"{str(run_dir).replace('%', '%%')}/move.log",
    )


def main(run_dir: Path, task_dir: Path, attempt: str, partition: str) -> str:
    """Return what to write into the log; empty when there is nothing to do. Submits the small job."""
    plan = read_plan(run_dir)
    if plan is None or partition == plan.sure_partition:
        return ""
    left = left_s(plan, task_dir / "attempts" / f"{attempt}.json")
    move = decide(plan, left_s=left, now=time.time())
    if move is None:
        return ""
    try:
        output = run_as_is(
            ["sbatch", "--parsable"],
            timeout_s=_TIMEOUT_S,
            environ=submission_environment(os.environ),
            stdin=mover_script(plan, run_dir, attempt, Templates()),
        )
    except MlcostError as error:
        return f"should be moved to {move.partition} ({move.reason}), but: {error}"
    return f"to be moved to {move.partition} by job {output.stdout.strip()}: {move.reason}"


if __name__ == "__main__":
    said = main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    if said:
        sys.stdout.write(f"{said}\n")
