"""One look at all budgets: jobs asked for, alerts posted and sent, where budgets stand published."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.site import channels_of, take_commitments, today_of, tree_of

if TYPE_CHECKING:
    from mlcost_accounting.budgets.records import BudgetStatus
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context


def look_at_budgets(
    context: Context, ledger: Ledger, rates: Path | None, publish: Path | None = None
) -> list[BudgetStatus]:
    """Do it, and say on stderr what was sent and what could not be.

    Args:
        context: the command's context.
        ledger: the ledger, open for writing, its daily sums up to date.
        rates: the rate card named on the command line.
        publish: where to publish; None = where the settings say, if they do.

    Returns:
        Where the budgets stand.
    """
    from mlcost_accounting.alerts.delivery import deliver
    from mlcost_accounting.budgets.publishing import publish as published_of
    from mlcost_accounting.budgets.publishing import write_published
    from mlcost_accounting.budgets.watch import watch_all
    from mlcost_accounting.ledger.health import known_until
    from mlcost_accounting.ledger.outbox import Outbox

    channels = channels_of(context)
    configured = context.settings.paths.published_budgets
    target = publish or (Path(configured) if configured else None)
    take_commitments(context, ledger, rates)
    now = int(time.time())
    statuses = watch_all(ledger, tree_of(ledger), channels, today_of(context), now)
    if target is not None:
        write_published(target, published_of(statuses, ledger.meta("currency") or "", known_until(ledger)))
    delivered = deliver(Outbox(ledger), channels, now)
    if delivered.sent:
        click.echo(f"mlcost: {delivered.sent} alerts sent", err=True)
    for channel, why in delivered.failed:
        click.echo(f"mlcost: alert channel {channel}: {why}; it is tried again", err=True)
    return statuses
