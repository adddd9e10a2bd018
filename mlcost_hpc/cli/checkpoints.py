"""``mlcost checkpoints``: see, delete and move the checkpoints of runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.output import Format, format_option, print_rows, printable
from mlcost_hpc.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.train.store import Entry

_COLUMNS = {
    "run": "Run",
    "step": "Step",
    "created": "Created (UTC)",
    "size": "Size",
    "bytes": "Bytes",
    "score": "Score",
    "place": "Place",
    "state": "State",
}
_folders = click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER]...")


def _rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option(
                "--keep-last",
                type=click.IntRange(min=1),
                default=2,
                show_default=True,
                metavar="N",
                help="The newest N whole checkpoints of a run stay.",
            ),
            click.option(
                "--keep-best",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                metavar="N",
                help="The N with the lowest score stay besides.",
            ),
            click.option(
                "--older-than", default="0s", metavar="TIME", help="Only those at least this old go, e.g. 7d."
            ),
            click.option("--yes", is_flag=True, help="Do it. Without this it is only shown."),
        )
    ):
        command = option(command)
    return command


@click.group()
def checkpoints() -> None:
    """See, delete and move the checkpoints of runs.

    FOLDER is a run folder or a folder with runs in it; the current folder when none is given. The newest
    checkpoint whose every byte is right always stays.
    """


@checkpoints.command("list")
@_folders
@click.option("--verify", is_flag=True, help="Read every file and compare it with its checksum.")
@format_option
def list_command(folders: tuple[Path, ...], verify: bool, output_format: Format) -> None:
    """Show the checkpoints of runs, newest first, and whether they are whole."""
    from mlcost_hpc.train import lifecycle, manifest, store

    rows = []
    for run in lifecycle.find_runs(folders or (Path(),)):
        for entry in store.list_checkpoints(run / "checkpoints"):
            problem = entry.problem
            if verify and problem is None and entry.manifest is not None:
                problem = manifest.find_content_problem(entry.path, entry.manifest)
            whole = "whole" if verify else "complete"
            rows.append(_row(run, entry, f"damaged: {problem}" if problem else whole))
    _print(rows, output_format)


@checkpoints.command()
@_folders
@_rule_options
@format_option
def prune(folders: tuple[Path, ...], output_format: Format, **options: Any) -> None:
    """Delete checkpoints that the rule lets go; shows them only, until --yes is given."""
    from mlcost_hpc.train import lifecycle

    _apply(folders, options, output_format, lifecycle.remove, "deleted", "would be deleted")


@checkpoints.command()
@_folders
@click.option(
    "--to",
    "shelf",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder on cheaper storage.",
)
@_rule_options
@format_option
def tier(folders: tuple[Path, ...], shelf: Path, output_format: Format, **options: Any) -> None:
    """Move checkpoints that the rule lets go to cheaper storage, leaving links; shows them only, until --yes.

    Each is checked against its checksums at the new place before it is taken away from the old one. A run
    finds it through the link when it needs it.
    """
    from mlcost_hpc.train import lifecycle

    def move(entry: Entry) -> None:
        lifecycle.move(entry, shelf)

    _apply(folders, options, output_format, move, "moved", "would be moved", skip_links=True)


def _apply(
    folders: tuple[Path, ...],
    options: dict[str, Any],
    output_format: Format,
    act: Callable[[Entry], None],
    done: str,
    planned: str,
    *,
    skip_links: bool = False,
) -> None:
    from mlcost_hpc.train import lifecycle
    from mlcost_hpc.units import format_memory, parse_time_limit

    age = parse_time_limit(options["older_than"])
    if age is None:
        raise UsageError("--older-than needs a time such as 7d")
    rule = lifecycle.Rule(keep_last=options["keep_last"], keep_best=options["keep_best"], older_than_s=age)
    rows, failed, size = [], [], 0
    for run in lifecycle.find_runs(folders or (Path(),)):
        for entry in lifecycle.plan(run, rule, now=time.time()):
            if skip_links and (entry.path.is_symlink() or entry.problem is not None):
                continue
            row = _row(run, entry, planned)  # before it is gone
            if options["yes"]:
                try:
                    act(entry)
                    row["state"] = done
                except CheckpointError as error:
                    row["state"] = "failed"
                    failed.append(str(error))
            rows.append(row)
            size += row["bytes"]
    _print(rows, output_format)
    click.echo(
        f"{len(rows)} checkpoints, {format_memory(size)}B: {done if options['yes'] else planned}", err=True
    )
    if not options["yes"] and rows:
        click.echo("nothing was changed; add --yes to do it", err=True)
    if failed:
        raise CheckpointError("; ".join(failed))


def _row(run: Path, entry: Entry, state: str) -> dict[str, Any]:
    from mlcost_hpc.units import format_memory

    size = entry.manifest.size if entry.manifest else 0
    return {
        "run": printable(str(run)),
        "step": entry.step,
        "created": entry.manifest.created[:19] if entry.manifest else None,
        "size": f"{format_memory(size)}B",
        "bytes": size,
        "score": entry.manifest.score if entry.manifest else None,
        "place": printable(str(entry.path.resolve().parent)) if entry.path.is_symlink() else "here",
        "state": state,
    }


def _print(rows: list[dict[str, Any]], output_format: Format) -> None:
    hidden = "bytes" if output_format == "table" else "size"
    columns = {key: name for key, name in _COLUMNS.items() if key != hidden}
    print_rows(rows, columns, output_format, right=("step", "size", "bytes", "score"))
