"""Arrays of tasks, and their parts where a site allows fewer tasks in one array (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that are submitted together.

    Attributes:
        first: number of the first one.
        tasks: how many; 0 = a job that is no array.
        after: job id of the part before; empty = there is none.
    """

    first: int = 0
    tasks: int = 0
    after: str = ""


class ArrayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An array whose tasks all run one command; every task finds its number in ``MLCOST_TASK_ID``.

    Attributes:
        command: the words of the command.
        tasks: number of tasks.
        name: job name.
        run_dir: its folder; made private when it is missing.
        throttle: most tasks at a time; None = no limit.
        dependency: as sbatch takes it: ``afterok:123``; empty = none.
        comment: job comment.
        first: number of the first task.
        extra: further sbatch options, long names without dashes -> value; empty = an option without one.
    """

    command: tuple[str, ...]
    tasks: int
    name: str
    run_dir: Path
    throttle: int | None = None
    dependency: str = ""
    comment: str = ""
    first: int = 0
    extra: Mapping[str, str] = {}


def split(tasks: int, largest: int) -> list[Part]:
    """Return the parts of an array, each as large as may be.

    Args:
        tasks: tasks in all.
        largest: most tasks of one array.
    """
    return [
        Part(first=first, tasks=min(largest, tasks - first)) for first in range(0, tasks, max(1, largest))
    ]


def part_of(order: ArrayOrder, part: Part) -> ArrayOrder:
    """Return the order for a part of an array, in a folder of its own where there are several.

    Args:
        order: the whole array.
        part: which part of it.
    """
    if part.tasks == order.tasks:
        return order
    first = order.first + part.first
    one = msgspec.structs.replace(
        order, tasks=part.tasks, first=first, run_dir=order.run_dir / f"from-{first}"
    )
    return waiting_for(one, part.after)


def waiting_for(order: ArrayOrder, before: str) -> ArrayOrder:
    """Return the order for a part that follows another; with a throttle it waits until that is done.

    Args:
        order: the part.
        before: job id of the part before; empty = there is none.
    """
    if not before or not order.throttle:
        return order
    both = filter(None, (order.dependency, f"afterany:{before}"))
    return msgspec.structs.replace(order, dependency=",".join(both))
