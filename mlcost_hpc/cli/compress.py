"""``mlcost compress``: compression batches, from a plan to one honest table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.output import Format, format_option, print_rows, printable
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Result

_BATCH = click.Path(path_type=Path, exists=True)


@click.group()
def compress() -> None:
    """Compress many models as one Slurm array, and see what each recipe really did."""


@compress.command()
@click.argument("plan", type=_BATCH)
def run(plan: Path) -> None:
    """Do a plan's tasks here, one after the other, without Slurm; what is finished is not done again."""
    from mlcost_hpc.compress.local import run_here

    batch, manifest = _planned(plan)
    todo = _missing(batch, manifest)
    click.echo(f"{batch.folder}: {len(todo)} of {len(manifest.tasks)} tasks to do", err=True)
    run_here(batch, manifest, todo, _tell)


@compress.command()
@click.argument("plan", type=_BATCH)
@format_option
def status(plan: Path, output_format: Format) -> None:
    """Show how far a batch is."""
    from mlcost_hpc.compress.progress import count_statuses

    batch, manifest = _existing(plan)
    results = batch.results(manifest.tasks)
    rows: list[dict[str, object]] = [
        {"status": name, "tasks": count} for name, count in count_statuses(results).items()
    ]
    rows.append({"status": "missing", "tasks": len(manifest.tasks) - len(results)})
    print_rows(rows, {"status": "status", "tasks": "tasks"}, output_format, right=["tasks"])


@compress.command()
@click.argument("plan", type=_BATCH)
@format_option
def report(plan: Path, output_format: Format) -> None:
    """Show size, speed and accuracy of every task, before and after."""
    from mlcost_hpc.compress import report as reports

    batch, manifest = _existing(plan)
    order = {model.name: place for place, model in enumerate(manifest.models)}
    rows = reports.rows(batch.results(manifest.tasks), order)
    if output_format == "table":
        people = [reports.for_people(row) for row in rows]
        print_rows(people, reports.PEOPLE_COLUMNS, output_format, right=[*reports.PEOPLE_COLUMNS][4:8])
    else:
        print_rows(rows, reports.COLUMNS, output_format)


def _planned(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan, its manifest written anew."""
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import expand
    from mlcost_hpc.compress.plan import load_plan

    if path.is_dir():
        return _existing(path)
    plan = load_plan(path)
    manifest = expand(plan, path)
    batch = Batch(_folder(path, plan.folder))
    batch.write_manifest(manifest)
    return batch, manifest


def _existing(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan or of a batch folder, as it was last planned."""
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.plan import load_plan

    batch = Batch(path if path.is_dir() else _folder(path, load_plan(path).folder))
    if not batch.manifest_path.exists():
        raise UsageError(f"{path} has not been run or submitted yet")
    return batch, batch.manifest()


def _folder(plan: Path, named: str | None) -> Path:
    """Return the batch folder of a plan: the named one, else ``<plan>-batch`` beside it."""
    return plan.parent / (named or f"{plan.stem}-batch")


def _missing(batch: Batch, manifest: Manifest) -> tuple[Task, ...]:
    from mlcost_hpc.compress.progress import missing

    return missing(manifest.tasks, {result.task: result for result in batch.results(manifest.tasks)})


def _tell(result: Result) -> None:
    click.echo(printable(f"{result.model} {result.recipe}: {result.status}: {result.reason}"))
