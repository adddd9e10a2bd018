"""What was sent to Slurm, what of it is still under way, and what must be sent again and how.

Each array job leaves one small file; nothing is ever rewritten, so two submits at once cannot lose a record.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.batch import read_json
from mlcost_hpc.compress.records import Kind, Result
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.slurm.api import Run

ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""Slurm's states from which a task does not come back by itself."""

GIB = 1024**3
_SMALLEST_MEMORY = 2 * GIB
_PER_MODEL_BYTE = 8
_TRAINING_MEMORY = 2 * GIB
LARGEST_MEMORY_FACTOR = 8
"""A task is given at most so many times the memory of its first try."""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """One array job.

    Attributes:
        job: its id.
        kind: what its tasks do.
        packs: array index -> task ids (model names, for ``prepare`` and ``measure``).
        memory: bytes each index got.
        partition: where it went.
        per_hour: price of one index for one hour, exact.
        currency: what the price is in.
        submitted: seconds since 1970.
    """

    job: str
    kind: Kind
    packs: tuple[tuple[str, ...], ...]
    memory: int
    partition: str
    per_hour: Decimal
    currency: str
    submitted: float


def names_of(submitted: Submitted) -> list[str]:
    """Return the tasks (models, for ``prepare`` and ``measure``) of an array job, in order."""
    return [name for pack in submitted.packs for name in pack]


def write_submitted(batch: Batch, submitted: Submitted) -> None:
    """Keep the record of an array job."""
    folder = batch.folder / "jobs"
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{submitted.job}.json", msgspec.json.encode(submitted))


def read_submitted(batch: Batch) -> list[Submitted]:
    """Return all array jobs of a batch, oldest first.

    Raises:
        CompressError: a record is damaged.
    """
    found = [read_json(path, Submitted) for path in (batch.folder / "jobs").glob("[!.]*.json")]
    return sorted(found, key=lambda item: item.submitted)


def states_by_task(
    submitted: Sequence[Submitted], states: Mapping[str, str], kind: Kind = "task"
) -> dict[str, str]:
    """Return task id (model name, for ``prepare``) -> state of its newest array task, if Slurm knows it.

    Args:
        submitted: array jobs, oldest first.
        states: array task (``17_3``) -> Slurm's state word.
        kind: which array jobs.
    """
    found = {}
    for item in submitted:
        if item.kind != kind:
            continue
        for index, pack in enumerate(item.packs):
            state = states.get(f"{item.job}_{index}")
            if state is not None:
                found.update(dict.fromkeys(pack, state))
    return found


def under_way(states: Mapping[str, str]) -> set[str]:
    """Return the tasks that are queued or running, of task id -> state."""
    return {task for task, state in states.items() if state not in ENDED}


def base_memory(manifest: Manifest, task: Task) -> int:
    """Return the memory of a task's first try, bytes, from the model's size and whether it is trained."""
    from mlcost_hpc.compress.methods import METHODS

    trains = any(METHODS[step.method].needs_module for step in task.recipe.steps)
    wanted = _SMALLEST_MEMORY + _PER_MODEL_BYTE * manifest.model(task.model).size
    wanted += _TRAINING_MEMORY if trains else 0
    # Steps of powers of two: tasks of similar size go into one array.
    return GIB << max(0, math.ceil(math.log2(wanted / GIB)))


def memory_for(
    task: Task,
    first: int,
    submitted: Sequence[Submitted],
    states: Mapping[str, str],
    result: Result | None,
) -> int:
    """Return the memory of a task's next try: twice that of the last one if it did not suffice, never less.

    Args:
        task: the task.
        first: memory of a first try, bytes.
        submitted: array jobs, oldest first.
        states: task id -> Slurm's state word of its newest try.
        result: its row, if there is one.
    """
    before = [item.memory for item in submitted if any(task.id in pack for pack in item.packs)]
    if not before:
        return first
    was_short = states.get(task.id) == "OUT_OF_MEMORY" or (result is not None and result.cause == "memory")
    # A try that ended otherwise says nothing against what an earlier one had shown to be needed.
    wanted = 2 * before[-1] if was_short else before[-1]
    return max(first, min(wanted, LARGEST_MEMORY_FACTOR * first))


def task_cost(result: Result, submitted: Sequence[Submitted]) -> Decimal | None:
    """Return what a task's run time cost, exact; None when it did not run under a known array job."""
    if result.place is None or not result.place.job:
        return None
    job = result.place.job.partition("_")[0]
    for item in submitted:
        if item.job == job:
            return item.per_hour * Decimal(str(result.seconds)) / 3600
    return None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What all array jobs of a batch have cost, as Slurm counted their time.

    Attributes:
        hours: of all runs: first stage, tasks, checks, measurements.
        cost: exact.
        lost: cost of runs that were cut short: preempted, cancelled, failed, out of time.
        currency: what they are in.
    """

    hours: float
    cost: Decimal
    lost: Decimal
    currency: str

    def line(self) -> str:
        """Return it as a sentence."""
        return (
            f"all its jobs: {self.hours:.2f} hours, {self.cost:.4f} {self.currency}; "
            f"{self.lost:.4f} of it in runs that were cut short"
        )


def held(submitted: Sequence[Submitted], runs: Sequence[Run]) -> Held | None:
    """Return what a batch's jobs have cost; None when nothing of them is known.

    Args:
        submitted: its array jobs.
        runs: accounting rows, one a run of an array task.
    """
    prices = {item.job: item.per_hour for item in submitted}
    known = [run for run in runs if run.job_id.partition("_")[0] in prices and run.elapsed_s]
    if not known:
        return None
    costs = [prices[run.job_id.partition("_")[0]] * run.elapsed_s / 3600 for run in known]
    lost = [cost for cost, run in zip(costs, known, strict=True) if run.state in ENDED - {"COMPLETED"}]
    return Held(
        hours=sum(run.elapsed_s for run in known) / 3600,
        cost=sum(costs, Decimal(0)),
        lost=sum(lost, Decimal(0)),
        currency=submitted[0].currency,
    )
