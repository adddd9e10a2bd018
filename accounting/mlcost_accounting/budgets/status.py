"""Where budgets stand, worked out from sums of the ledger (pure)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlcost_accounting.budgets.records import Budget, BudgetStatus, Usage
from mlcost_accounting.forecast import Estimate, Exhaustion, Trend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date


def status_of(
    budget: Budget,
    today: date,
    daily: Mapping[date, tuple[int, int]],
    committed: Mapping[date, int],
    *,
    as_of: int | None = None,
    accounts: Sequence[str] = (),
) -> BudgetStatus:
    """Return where a budget stands.

    Args:
        budget: the budget.
        today: the site's day.
        daily: day -> (settled, in flight) in the budget's unit; days without any may be missing. It should
            reach back twelve weeks before today, for the forecast.
        committed: day -> what jobs may still use on that day.
        as_of: last moment the ledger knows of.
        accounts: the accounts whose spending was summed.
    """
    period = budget.period_at(today)
    inside = [amounts for day, amounts in daily.items() if day in period]
    usage = Usage(
        settled=sum(settled for settled, _ in inside),
        in_flight=sum(in_flight for _, in_flight in inside),
        committed=sum(amount for day, amount in committed.items() if day in period),
    )
    trend = _trend(daily, today)
    # Today counts as far as it has come: what is used of it is in `used`, the rest of it is still to come.
    today_used = sum(daily.get(today, (0, 0)))
    days_left = (period.last - today).days + 1
    coming = trend.sum_of(max(0, days_left))
    expected = Estimate(
        low=max(usage.used, usage.used - today_used + coming.low),
        expected=max(usage.used, usage.used - today_used + coming.expected),
        high=max(usage.used, usage.used - today_used + coming.high),
    )
    left = budget.amount - usage.used
    gone = left <= 0
    return BudgetStatus(
        budget=budget,
        period=period,
        usage=usage,
        forecast=expected,
        exhaustion=Exhaustion(earliest=None, expected=None, latest=None)
        if gone
        else trend.exhaustion(left + today_used),
        as_of=as_of,
        accounts=tuple(accounts),
    )


def history(daily: Mapping[date, tuple[int, int]], until: date, days: int) -> list[int]:
    """Return what each of the ``days`` days before ``until`` used, oldest first."""
    return [sum(daily.get(until - timedelta(days=back), (0, 0))) for back in range(days, 0, -1)]


def _trend(daily: Mapping[date, tuple[int, int]], today: date) -> Trend:
    if not daily:
        return Trend([], today)
    return Trend(history(daily, today, max(0, (today - min(daily)).days)), today)
