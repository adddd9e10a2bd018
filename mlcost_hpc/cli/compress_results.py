"""``mlcost compress report|best``: what came of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mlcost_hpc.cli.compress_batches import BATCH, existing
from mlcost_hpc.cli.need_options import rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.compress.economics import Prices
    from mlcost_hpc.compress.submissions import Submitted


@click.command()
@click.argument("plan", type=BATCH)
@click.option(
    "--serve", multiple=True, metavar="PARTITION", help="Price predictions as served there; repeatable."
)
@click.option("--out", multiple=True, type=click.Path(path_type=Path), help="Also write .html, .parquet, ...")
@rates_option
@format_option
@click.pass_obj
def report(
    context: Context,
    plan: Path,
    serve: tuple[str, ...],
    out: tuple[Path, ...],
    rates: Path | None,
    output_format: Format,
) -> None:
    """Show size, speed, quality and cost of every task, before and after.

    Costs of a million predictions come from the rate card's price of a core, where there is a rate card: in
    each partition named with --serve, else where the candidates were measured.
    """
    from mlcost_hpc.cli.output import render_csv, render_json
    from mlcost_hpc.compress import report as reports
    from mlcost_hpc.compress.export import write_report
    from mlcost_hpc.compress.outcome import measured_in, read_outcome
    from mlcost_hpc.compress.page import render
    from mlcost_hpc.compress.submissions import read_submitted, task_cost
    from mlcost_hpc.compress.summary import summarize

    batch, manifest = existing(plan)
    outcome = read_outcome(batch, manifest)
    results = outcome.rows
    submitted = read_submitted(batch)
    spent = {r.task: cost for r in outcome.written if (cost := task_cost(r, submitted)) is not None}
    extras = reports.Extras(
        prices=_prices(context, rates, serve or measured_in(outcome)),
        spent=spent,
        checks=outcome.checks,
        measurements=outcome.measurements,
    )
    order = {model.name: place for place, model in enumerate(manifest.models)}
    rows = reports.rows(results, order, extras)
    people = [reports.for_people(row) for row in rows]
    served = reports.places(results, extras)
    lines = [
        *summarize(results, spent, extras.prices).lines(),
        *_held(context, submitted),
        *outcome.damaged,
    ]
    for path in out:
        renders = {
            ".html": lambda: render(
                manifest.name, lines, people, reports.PAGE_COLUMNS, served, reports.PLACE_COLUMNS
            ),
            ".csv": lambda: render_csv(rows, list(reports.COLUMNS)),
            ".json": lambda: render_json([{key: row.get(key) for key in reports.COLUMNS} for row in rows]),
        }
        write_report(path, rows, list(reports.COLUMNS), renders)
    if output_format != "table":
        print_rows(rows, reports.COLUMNS, output_format)
        return
    print_rows(people, reports.PEOPLE_COLUMNS, output_format, right=[*reports.PEOPLE_COLUMNS][4:8])
    for line in reports.explanations(people):
        click.echo(printable(line))
    if served:
        print_rows(served, reports.PLACE_COLUMNS, output_format, right=["before", "after", "saved"])
    for line in ["", *lines]:
        click.echo(printable(line))


@click.command()
@click.argument("plan", type=BATCH)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to copy to.")
@click.option("--prefer", type=click.Choice(["speed", "size"]), default="speed", show_default=True)
def best(plan: Path, out: Path, prefer: Literal["speed", "size"]) -> None:
    """Copy each model's best candidate within all limits, with a card that makes it again."""
    from mlcost_hpc.compress.best import copy_best
    from mlcost_hpc.compress.outcome import read_outcome
    from mlcost_hpc.compress.standing import choose_best

    batch, manifest = existing(plan)
    winners = choose_best(read_outcome(batch, manifest).rows, prefer)
    for folder in copy_best(batch, manifest, winners, out):
        click.echo(f"{folder}: {printable(winners[folder.name].reason)}")
    for model in manifest.models:
        if model.name not in winners:
            click.echo(f"{model.name}: no candidate within all limits", err=True)


def _held(context: Context, submitted: Sequence[Submitted]) -> list[str]:
    """Return what Slurm says all jobs have cost; nothing where it cannot be asked."""
    from mlcost_hpc.compress.submissions import held
    from mlcost_hpc.errors import SlurmError

    if not submitted:
        return []
    since = int(min(item.submitted for item in submitted)) - 60
    try:
        runs = context.slurm.runs_of([item.job for item in submitted], since).runs
    except SlurmError:
        return []
    found = held(submitted, runs)
    return [] if found is None else [found.line()]


def _prices(context: Context, rates: Path | None, serve: tuple[str, ...]) -> Prices | None:
    """Return the price of a core where models will be served; None without a rate card."""
    from mlcost_hpc.compress.economics import Prices
    from mlcost_hpc.rates import Resources

    if rates is None and context.settings.paths.rates is None:
        return None
    book = context.rates(rates)
    card = book.card_now(context.settings.zone)
    places = {name: card.per_hour(Resources(cpus=1), name) for name in serve or ("",)}
    return Prices(currency=book.currency, core_hour=places)
