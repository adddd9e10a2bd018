"""``mlcost ingest``: accounting rows into the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import (
    book_of,
    kinds_of,
    ledger_option,
    parse_when,
    progress,
    rates_option,
)
from mlcost_hpc.errors import RateError

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_accounting.ingest import Ingest, Intake
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context


@click.command()
@click.option(
    "--since", help="From when: a date, a date with time, or -7d. Else where the last ingest ended."
)
@click.option("--until", help="To when; else now.")
@rates_option
@ledger_option
@click.pass_obj
def ingest(
    context: Context, since: str | None, until: str | None, rates: Path | None, ledger: Path | None
) -> None:
    """Take accounting rows into the ledger and charge them.

    Doing it again, or with overlapping times, changes nothing.
    """
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import open_ledger
    from mlcost_accounting.pricing import digest_of, hold_prices

    zone = context.settings.zone
    kinds = kinds_of(context, book_of(context, rates))
    with open_ledger(context.ledger_path(ledger), zone) as opened:
        with progress("charging again under the new prices", None) as show:
            rerated = hold_prices(opened, kinds, digest_of(kinds.rater.book, context.catalog), show)
        taker = Ingest(opened, kinds)
        _from_cluster(context, opened, taker, since, until)
        opened.refresh()
        _tell(taker.intake, rerated)
        _complain(opened)


def _from_cluster(
    context: Context, ledger: Ledger, taker: Ingest, since: str | None, until: str | None
) -> None:
    from mlcost_accounting.collect import Collector

    from mlcost_hpc.slurm.sacct_source import RecordSource, SacctSource

    slurm, zone = context.settings.slurm, context.settings.zone
    source = (
        SacctSource(timeout_s=slurm.timeout_s, cluster=slurm.cluster)
        if context.slurm.name == "cli"
        else RecordSource(context.slurm)
    )
    cluster = slurm.cluster or context.slurm.config()["ClusterName"]
    with progress(f"reading {cluster}", None) as show:
        begin = [0]

        def on_slice(start: int, end: int) -> None:
            begin[0] = begin[0] or start
            show((end - begin[0]) // 86400)

        Collector(source, cluster, taker, ledger, on_slice=on_slice).collect(
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
    from mlcost_accounting.ledger.queries import problems

    found = [row for row in problems(ledger) if row["kind"] in ("no-price", "untracked")]
    if found and ledger.meta("currency"):
        reasons = "; ".join(f"{row['words']}: {row['runs']} runs" for row in found[:5])
        raise RateError(f"runs are kept but not charged: {reasons}")
