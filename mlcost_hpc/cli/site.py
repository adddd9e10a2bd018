"""What the commands about money share: the site's day, its accounts, what its jobs may still cost."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.errors import SlurmError

if TYPE_CHECKING:
    from datetime import date

    from mlcost_accounting.accounts import AccountTree
    from mlcost_accounting.alerts.channels import Channel
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context


def today_of(context: Context) -> date:
    """Return the site's day."""
    return datetime.now(context.settings.zone).date()


def tree_of(ledger: Ledger) -> AccountTree:
    """Return the accounts the ledger knows."""
    from mlcost_accounting.accounts import AccountTree
    from mlcost_accounting.ledger.hierarchy import account_parents

    return AccountTree(parents=account_parents(ledger))


def channels_of(context: Context) -> list[Channel]:
    """Return where alerts go; none when no file is configured.

    Raises:
        ConfigError: naming what is wrong in the file.
    """
    from mlcost_accounting.alerts.channels import load_channels

    path = context.settings.paths.alerts
    return load_channels(Path(path)) if path else []


def take_commitments(context: Context, ledger: Ledger, rates: Path | None) -> None:
    """Ask Slurm for its jobs and keep what they may still cost, and the budget overrides they tell of.

    When Slurm does not answer, what was kept before stays, and one line says so.
    """
    from mlcost_accounting.budgets.commitments import Committer
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.held import Holdings
    from mlcost_accounting.ledger.budget_book import BudgetBook
    from mlcost_accounting.ledger.health import known_until
    from mlcost_accounting.ledger.override_book import keep_overrides_of_jobs
    from mlcost_accounting.projects import ProjectMap, load_projects

    from mlcost_hpc.cli.accounting import book_of

    projects = context.settings.paths.projects
    now = int(time.time())
    try:
        config = {name.lower(): value for name, value in context.slurm.config().items()}
        jobs = context.slurm.jobs()
    except SlurmError as error:
        click.echo(f"mlcost: {error}; running and queued jobs are counted as they were last known", err=True)
        return
    committer = Committer(
        book_of(context, rates, ledger),
        Holdings(context.catalog),
        load_projects(Path(projects)) if projects else ProjectMap(),
        Calendar(context.settings.zone),
    )
    found = committer.of(jobs, known_until=known_until(ledger) or now, now=now)
    cluster = config.get("clustername", "cluster")
    BudgetBook(ledger).replace_commitments(cluster, found, now)
    keep_overrides_of_jobs(ledger, cluster, jobs)
    if found.unpriced:
        click.echo(f"mlcost: {found.unpriced} running or queued jobs have no price", err=True)
