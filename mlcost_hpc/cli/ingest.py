"""``mlcost ingest``: accounting rows into the ledger."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import (
    book_of,
    kinds_of,
    ledger_option,
    parse_when,
    parse_zone,
    progress,
    rates_option,
)
from mlcost_hpc.cli.collecting import collector_of, read_use
from mlcost_hpc.errors import RateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.ingest import Ingest, Intake
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.savedfiles import SavedRows

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.slurm.sacct_lines import Layout


@click.command()
@click.option(
    "--since", help="From when: a date, a date with time, or -7d. Else where the last ingest ended."
)
@click.option("--until", help="To when; else now.")
@click.option(
    "--steps",
    is_flag=True,
    help="Also ask what the steps of finished runs used (a heavier question for slurmdbd).",
)
@rates_option
@ledger_option
@click.option(
    "--from-file",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Rows of `sacct -P`, or the answer of `sacct --json` (plain, gzip or zstd; - is standard input).",
)
@click.option("--fields", help="Names of their fields, comma-separated; else the first line says them.")
@click.option("--delimiter", default="|", show_default=True, help="What stands between their fields.")
@click.option("--cluster", default="", help="Cluster of rows that do not name theirs.")
@click.option("--time-zone", help="Time zone of dates in the files; else the site's (site.time_zone).")
@click.pass_obj
def ingest(
    context: Context,
    since: str | None,
    until: str | None,
    steps: bool,
    rates: Path | None,
    ledger: Path | None,
    from_file: tuple[Path, ...],
    fields: str | None,
    delimiter: str,
    cluster: str,
    time_zone: str | None,
) -> None:
    """Take accounting rows into the ledger and charge them.

    They come from the cluster, or with --from-file from rows that sacct printed before. Doing it again, or
    with overlapping times, changes nothing.
    """
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import open_ledger
    from mlcost_accounting.pricing import digest_of, hold_prices
    from mlcost_accounting.savedfiles import SavedRows

    zone = context.settings.zone
    with open_ledger(context.ledger_path(ledger), zone) as opened:
        kinds = kinds_of(context, book_of(context, rates, opened))
        kinds.rater.untracked = frozenset(filter(None, (opened.meta("untracked") or "").split(",")))
        with progress("charging again under the new prices", None) as show:
            rerated = hold_prices(opened, kinds, digest_of(kinds.rater.book, context.catalog), show)
        taker = Ingest(opened, kinds)
        if from_file:
            files = [SavedRows(path, _names(fields), delimiter) for path in from_file]
            _from_files(files, taker, cluster.lower(), parse_zone(time_zone) if time_zone else zone)
        else:
            _from_cluster(context, opened, taker, kinds, since, until)
            if steps:
                click.echo(f"{read_use(context, opened)} runs with what their steps used")
        opened.refresh()
        _tell(taker.intake, rerated)
        _complain(opened)


def _names(fields: str | None) -> list[str] | None:
    return None if fields is None else [name for name in fields.split(",") if name]


def _from_files(files: Sequence[SavedRows], taker: Ingest, cluster: str, zone: ZoneInfo) -> None:
    from mlcost_hpc.slurm.sacct_json import parse_json_runs

    for saved in files:
        layouts: list[Layout] = []
        documents: list[str] = []
        parts = saved.read(layouts.append, documents.append)
        first = next(parts, "")
        with progress(f"reading {saved.path}", saved.size) as show:
            taker.on_progress = partial(_show_bytes, saved, show)
            if documents:
                taker.answer(parse_json_runs(documents[0]), cluster=cluster, seen=saved.saved_at)
            else:
                taker.text(
                    chain((first,), parts), layouts[0], seen=saved.saved_at, cluster=cluster, zone=zone
                )


def _show_bytes(saved: SavedRows, show: Callable[[int], None], _intake: Intake) -> None:
    show(saved.read_bytes)


def _from_cluster(
    context: Context, ledger: Ledger, taker: Ingest, kinds: Kinds, since: str | None, until: str | None
) -> None:
    zone = context.settings.zone
    with progress("reading the cluster, days", None) as show:
        begin = [0]

        def on_slice(start: int, end: int) -> None:
            begin[0] = begin[0] or start
            show((end - begin[0]) // 86400)

        collector_of(context, ledger, taker, kinds, on_slice).collect(
            parse_when(since, zone) if since else None, parse_when(until, zone) if until else None
        )


def _tell(intake: Intake, rerated: int) -> None:
    counts = intake.counts
    again = f", {rerated} charged again under new prices" if rerated else ""
    click.echo(
        f"{counts.new} new runs, {counts.changed} changed, {counts.known} known, "
        f"{intake.rejects} rejected pieces{again}"
    )


def _complain(ledger: Ledger) -> None:
    """Name what keeps runs from being charged; the runs themselves are in the ledger."""
    from mlcost_accounting.ledger.capacity_sums import refused_reservations
    from mlcost_accounting.ledger.queries import problems

    found = [row for row in problems(ledger) if row["kind"] in ("no-price", "untracked")]
    if not ledger.meta("currency"):
        return
    if found:
        reasons = "; ".join(f"{row['words']}: {row['runs']} runs" for row in found[:5])
        raise RateError(f"runs are kept but not charged: {reasons}")
    if refused := refused_reservations(ledger):
        reasons = "; ".join(f"{row['words']}: {row['count']}" for row in refused[:5])
        raise RateError(f"reservations are kept but not charged: {reasons}")
