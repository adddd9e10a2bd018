"""Looks at all budgets and yesterday's spending, and puts what there is to tell into the outbox, once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from mlcost_accounting.alerts.events import anomaly_event, watch_budget
from mlcost_accounting.anomaly import HISTORY, find_anomaly
from mlcost_accounting.budgets.overview import budget_statuses
from mlcost_accounting.ledger.dearest import dearest_runs
from mlcost_accounting.ledger.outbox import Outbox
from mlcost_accounting.ledger.scoped import EVERYTHING, spending_by_day
from mlcost_accounting.periods import Period, period_of
from mlcost_hpc.money import format_money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_accounting.accounts import AccountTree
    from mlcost_accounting.alerts.channels import Channel
    from mlcost_accounting.alerts.events import Event
    from mlcost_accounting.budgets.records import BudgetStatus
    from mlcost_accounting.ledger.store import Ledger


def watch_all(
    ledger: Ledger, tree: AccountTree, channels: Iterable[Channel], today: date, now: int
) -> list[BudgetStatus]:
    """Work out where the budgets stand, and post what is new to the channels that want it.

    Reading what was told before and noting what is told now are one transaction: of two processes that look
    at once, one finds it told.

    Args:
        ledger: a ledger open for writing.
        tree: the accounts.
        channels: where alerts go.
        today: the site's day.
        now: this moment (UTC seconds).

    Returns:
        Where the budgets stand.
    """
    outbox = Outbox(ledger)
    named = list(channels)
    currency = ledger.meta("currency") or ""
    with ledger.transaction():
        statuses = budget_statuses(ledger, tree, today)
        remembered = outbox.watches()
        events: list[Event] = []
        watches = []
        for status in statuses:
            found, watch = watch_budget(
                status, remembered.get(status.budget.name), currency, today.isoformat()
            )
            events += found
            watches.append(watch)
        events += unusual_days(ledger, today - timedelta(days=1), currency)
        outbox.post([], watches, [], now)
        for event in events:
            outbox.post([event], [], [channel.name for channel in named if channel.wants(event.target)], now)
    return statuses


def unusual_days(ledger: Ledger, day: date, currency: str) -> list[Event]:
    """Return the accounts for which a day was unusually dear, with what was dear about it."""
    past = Period(kind="range", first=day - timedelta(days=HISTORY), last=day)
    by_account: dict[str, dict[int, int]] = {}
    for row in spending_by_day(ledger, EVERYTHING, past, ("account",)):
        by_account.setdefault(row["account"], {})[row["day"]] = row["cost"]
    events = []
    for account, costs in sorted(by_account.items()):
        amounts = [costs.get(number, 0) for number in range(past.first.toordinal(), day.toordinal())]
        anomaly = find_anomaly(amounts, day, costs.get(day.toordinal(), 0))
        if anomaly is not None:
            runs = dearest_runs(ledger, EVERYTHING, period_of(day, "day"), {"account": account}, 5)
            causes = [
                f"  job {run['job_id']} of {run['user']}: {format_money(run['cost'])} {currency}"
                for run in runs
            ]
            events.append(anomaly_event(f"account {account}", anomaly, causes, currency))
    return events
