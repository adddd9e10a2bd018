"""Lists of array tasks as people write them for ``sbatch --array`` (pure)."""

from __future__ import annotations

import re

from mlcost_hpc.errors import UnitError

_PART = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


def count_tasks(text: str) -> int:
    """Return how many tasks ``0-99%10``, ``1,3,5-7`` or ``0-15:4`` are; an index named twice is one task.

    The part after ``%`` says how many run at a time; all of them run in the end.

    Raises:
        UnitError: when the text is no such list.
    """
    indices: set[int] = set()
    for part in text.partition("%")[0].split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise UnitError(f"{text!r} is no list of array tasks: write 0-99, 1,3,5-7 or 0-15:4")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step == 0 or last > _LARGEST:
            raise UnitError(f"{text!r} is no list of array tasks: {part.strip()!r} names none")
        indices.update(range(first, last + 1, step))
    return len(indices)


_LARGEST = 4_000_001
"""Slurm's own bound on MaxArraySize."""
