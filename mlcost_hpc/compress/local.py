"""A batch without Slurm: its tasks one after the other on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlcost_hpc.compress.task import do_task

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Result

Tell = Callable[["Result"], None]


def run_here(batch: Batch, manifest: Manifest, tasks: tuple[Task, ...], tell: Tell) -> None:
    """Do tasks one after the other; ``tell`` gets each row as it is finished.

    Raises:
        OSError: a row cannot be written.
    """
    for task in tasks:
        tell(do_task(batch, manifest, task))
