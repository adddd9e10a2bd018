"""How far a batch is: which tasks are finished, which still need to run, in which order they are packed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlcost_hpc.compress.records import STATUSES, Result, Status
from mlcost_hpc.compress.submissions import ENDED
from mlcost_hpc.compress.task import should_rerun

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Task


def forget_failures(batch: Batch, results: Sequence[Result]) -> int:
    """Take away the rows of failed tasks, so that they are missing; returns how many there were."""
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        batch.result_path(result.task).unlink(missing_ok=True)
    return len(failed)


def missing(tasks: Sequence[Task], results: Mapping[str, Result]) -> tuple[Task, ...]:
    """Return the tasks without a row, and those whose failure may be gone at the next try."""
    return tuple(task for task in tasks if task.id not in results or should_rerun(results[task.id]))


def whereabouts(
    open_tasks: Collection[str], states: Mapping[str, str], sent: Collection[str] = ()
) -> dict[str, int]:
    """Return how many tasks without a row are queued, running, lost, or were never submitted.

    Args:
        open_tasks: ids of tasks without a row.
        states: task id -> Slurm's state word of its newest try.
        sent: ids of tasks that were submitted: one that Slurm no longer knows was cancelled while it waited.
    """
    counts = dict.fromkeys(("queued", "running", "lost", "not submitted"), 0)
    for task in open_tasks:
        state = states.get(task)
        if state is None:
            counts["lost" if task in sent else "not submitted"] += 1
        elif state in ENDED:
            counts["lost"] += 1
        else:
            counts["running" if state in ("RUNNING", "COMPLETING") else "queued"] += 1
    return counts


def count_statuses(results: Sequence[Result]) -> dict[Status, int]:
    """Return how many rows have each status, all statuses listed."""
    counts = Counter(result.status for result in results)
    return {status: counts[status] for status in STATUSES}


def pack(names: Sequence[str], per_index: int) -> tuple[tuple[str, ...], ...]:
    """Return packs of tasks, one an array index.

    Args:
        names: what to do.
        per_index: how many an index does, one after the other.
    """
    return tuple(tuple(names[start : start + per_index]) for start in range(0, len(names), per_index))
