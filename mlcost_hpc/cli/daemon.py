"""``mlcost daemon``: the ledger kept up to date."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.accounting import book_of, kinds_of, ledger_option, parse_when, rates_option
from mlcost_hpc.errors import SlurmError

if TYPE_CHECKING:
    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.daemon import Health, Rounds
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context


@click.command()
@click.option("--once", is_flag=True, help="One round, then end (for a systemd timer); fails when it failed.")
@click.option("--interval", default=300.0, show_default=True, help="Seconds between rounds.")
@click.option("--backfill", help="Read back to this time, one day a round: a date, or -365d.")
@click.option("--health", type=click.Path(path_type=Path), help="File that says how the daemon is (JSON).")
@click.option("--metrics", type=click.Path(path_type=Path), help="File for Prometheus's textfile collector.")
@rates_option
@ledger_option
@click.pass_obj
def daemon(
    context: Context,
    once: bool,
    interval: float,
    backfill: str | None,
    health: Path | None,
    metrics: Path | None,
    rates: Path | None,
    ledger: Path | None,
) -> None:
    """Keep the ledger up to date until told to stop (SIGTERM, Ctrl-C).

    Only one runs on a ledger. When Slurm does not answer it waits longer and longer, and catches up.
    """
    from mlcost_accounting.daemon import health_text, metrics_text, only_one, run, write_whole
    from mlcost_accounting.ledger.store import open_ledger

    path = context.ledger_path(ledger)
    since = parse_when(backfill, context.settings.zone) if backfill else None
    stop = threading.Event()

    def on_round(state: Health) -> None:
        if health:
            write_whole(health, health_text(state))
        if metrics:
            write_whole(metrics, metrics_text(state))
        click.echo(
            f"{state.cluster}: {state.runs_new} new, {state.runs_changed} changed, {state.rejects} rejected "
            f"since the start; {state.error or 'up to date'}",
            err=bool(state.error),
        )

    with open_ledger(path, context.settings.zone) as opened, only_one(path):
        rounds = _rounds(context, opened, rates, interval, since)
        if once:
            state = rounds.tick()
            on_round(state)
            if not state.ok:
                raise SlurmError(state.error)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run(rounds, stop, on_round)


def _rounds(
    context: Context, ledger: Ledger, rates: Path | None, interval: float, since: int | None
) -> Rounds:
    from mlcost_accounting.daemon import Rounds
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.pricing import digest_of, hold_prices

    from mlcost_hpc.cli.collecting import collector_of

    kinds: Kinds = kinds_of(context, book_of(context, rates, ledger))
    hold_prices(ledger, kinds, digest_of(kinds.rater.book, context.catalog))
    taker: Ingest = Ingest(ledger, kinds)

    def collecting() -> Any:
        return collector_of(context, ledger, taker, kinds, lambda _start, _end: None)

    cluster = context.settings.slurm.cluster or context.slurm.config()["ClusterName"]
    return Rounds(
        ledger,
        taker,
        collecting,
        cluster,
        interval_s=interval,
        backfill_from=since,
        after=lambda: _budgets(context, ledger, rates),
    )


def _budgets(context: Context, ledger: Ledger, rates: Path | None) -> None:
    """Look at the budgets where there are any, or where somebody is to be told."""
    from mlcost_accounting.ledger.budget_book import BudgetBook

    from mlcost_hpc.cli.budget_round import look_at_budgets

    if BudgetBook(ledger).all() or context.settings.paths.alerts:
        look_at_budgets(context, ledger, rates)
