"""What the commands of ``mlcost compress`` share: finding the batch of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task

BATCH = click.Path(path_type=Path, exists=True)
"""A plan, or the folder of a batch."""


def planned(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan, its manifest written anew."""
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import expand
    from mlcost_hpc.compress.plan import load_plan
    from mlcost_hpc.compress.validate import check_contents

    if path.is_dir():
        return existing(path)
    plan = load_plan(path)
    check_contents(plan, path)
    manifest = expand(plan, path)
    batch = Batch(batch_folder(path, plan.folder))
    batch.write_manifest(manifest)
    return batch, manifest


def existing(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan or of a batch folder, as it was last planned.

    What is finished can be seen also when files of the plan have gone since.
    """
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.plan import read_plan

    batch = Batch(path if path.is_dir() else batch_folder(path, read_plan(path).folder))
    if not batch.manifest_path.exists():
        raise UsageError(f"{path} has not been run or submitted yet")
    return batch, batch.manifest()


def batch_folder(plan: Path, named: str | None) -> Path:
    """Return the batch folder of a plan: the named one, else ``<plan>-batch`` beside it."""
    return plan.parent / (named or f"{plan.stem}-batch")


def retry(batch: Batch, manifest: Manifest) -> None:
    """Take the rows of failed tasks away, and say how many."""
    from mlcost_hpc.compress.progress import forget_failures

    count = forget_failures(batch, batch.results(manifest.tasks))
    click.echo(f"{count} failed tasks are done again", err=True)


def missing(batch: Batch, manifest: Manifest) -> tuple[Task, ...]:
    """Return the tasks that still have to run."""
    from mlcost_hpc.compress.progress import missing

    return missing(manifest.tasks, {result.task: result for result in batch.results(manifest.tasks)})
