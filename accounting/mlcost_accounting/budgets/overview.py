"""Where all budgets of a ledger stand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from mlcost_accounting.budgets.status import status_of
from mlcost_accounting.forecast import WEEKS
from mlcost_accounting.ledger.budget_book import BudgetBook
from mlcost_accounting.ledger.health import known_until
from mlcost_accounting.ledger.scoped import EVERYTHING, entries, spending_by_day
from mlcost_accounting.periods import Period

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlcost_accounting.accounts import AccountTree
    from mlcost_accounting.budgets.records import Budget, BudgetStatus
    from mlcost_accounting.ledger.store import Ledger


def budget_statuses(
    ledger: Ledger, tree: AccountTree, today: date, budgets: Iterable[Budget] | None = None
) -> list[BudgetStatus]:
    """Return where budgets stand that hold today.

    Args:
        ledger: the ledger.
        tree: the accounts; an account's budget counts those below it too.
        today: the site's day.
        budgets: the budgets; None = all of the ledger.
    """
    book = BudgetBook(ledger)
    as_of = known_until(ledger)
    found = []
    for budget in book.all() if budgets is None else budgets:
        if not budget.holds_on(today):
            continue
        accounts = tree.below(budget.target) if budget.scope == "account" else ()
        found.append(
            status_of(
                budget,
                today,
                _daily(ledger, budget, accounts, today),
                book.commitments(budget, accounts),
                as_of=as_of,
                accounts=accounts,
            )
        )
    return found


def _daily(
    ledger: Ledger, budget: Budget, accounts: Sequence[str], today: date
) -> Mapping[date, tuple[int, int]]:
    """Return (settled, in flight) of each day of the period and of the past that a forecast looks at."""
    first = min(budget.period_at(today).first, today - timedelta(weeks=WEEKS))
    days = Period(kind="range", first=first, last=today)
    wanted: dict[str, str | Sequence[str]] = {budget.scope: accounts or budget.target}
    if budget.gpu_model:
        wanted["gpu_model"] = budget.gpu_model
    unit = "cost" if budget.unit == "money" else "gpu_s"
    found = {
        date.fromordinal(row["day"]): (row[unit] - row[f"open_{unit}"], row[f"open_{unit}"])
        for row in spending_by_day(ledger, EVERYTHING, days, wanted=wanted)
    }
    if budget.scope == "account" and budget.unit == "money":
        # What people charged or refunded is settled; it belongs to no user, project or GPU.
        for entry in entries(ledger, accounts, days):
            day = date.fromordinal(entry["day"])
            settled, in_flight = found.get(day, (0, 0))
            found[day] = (settled + entry["cost"], in_flight)
    return found
