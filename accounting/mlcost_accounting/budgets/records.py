"""What a budget is, and where it stands (pure).

Amounts are integers in the budget's own unit: micros of the currency for money, seconds for GPU-hours.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from mlcost_accounting.forecast import Estimate, Exhaustion
from mlcost_accounting.periods import Period, period_of
from mlcost_hpc.budgets import Scope, Unit
from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import to_micros

_MOST = 10**12

Span = Literal["month", "quarter", "year", "total"]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent in each period.

    Attributes:
        name: its name; unique.
        scope: whose spending counts. An account's includes that of the accounts below it.
        target: name of the account, project or user.
        unit: what is counted.
        gpu_model: with ``gpu-hours``: only GPUs of this model; empty = all.
        period: it begins anew with each; ``total`` never does.
        amount: micros, or GPU seconds.
        hard: True = submissions beyond it are refused; False = it only warns.
        alert_percent: parts used at which somebody is told.
        since: first day that counts.
        until: last day on which it holds; None = until it is removed.
    """

    name: str
    scope: Scope
    target: str
    unit: Unit = "money"
    gpu_model: str = ""
    period: Span = "month"
    amount: int
    hard: bool = False
    alert_percent: tuple[int, ...] = (80, 100)
    since: date
    until: date | None = None

    def holds_on(self, day: date) -> bool:
        """Return True when the budget holds on a day."""
        return self.since <= day and (self.until is None or day <= self.until)

    def period_at(self, day: date) -> Period:
        """Return the period whose spending counts on a day, cut to the budget's own days."""
        if self.period == "total":
            # Without an end nothing can be forecast for it: a year ahead is as far as anybody looks.
            last = self.until or period_of(day, "year").following().last
            return Period(kind="range", first=self.since, last=last)
        period = period_of(day, self.period)
        first = max(period.first, self.since)
        last = min(period.last, self.until or period.last)
        if (first, last) == (period.first, period.last):
            return period
        return Period(kind="range", first=first, last=last)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What counts against a budget in its period.

    Attributes:
        settled: of runs that have ended.
        in_flight: so far, of runs that have not.
        committed: what running jobs can still use until their time limits, and queued ones in all.
    """

    settled: int = 0
    in_flight: int = 0
    committed: int = 0

    @property
    def used(self) -> int:
        """Settled and in flight."""
        return self.settled + self.in_flight


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a budget stands.

    Attributes:
        budget: the budget.
        period: the period that counts.
        usage: what counts against it.
        forecast: what will be used at the period's end, spending as before.
        exhaustion: when nothing is left, spending as before; all None when it was already reached.
        as_of: last moment the ledger knows of (UTC seconds); None = it knows of none.
        accounts: for an account's budget, the accounts that count.
    """

    budget: Budget
    period: Period
    usage: Usage
    forecast: Estimate
    exhaustion: Exhaustion
    as_of: int | None = None
    accounts: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """What is not used; negative when too much was."""
        return self.budget.amount - self.usage.used

    @property
    def free(self) -> int:
        """What is neither used nor promised to jobs."""
        return self.left - self.usage.committed

    @property
    def percent(self) -> float:
        """Part used, in per cent."""
        return percent_of(self.usage.used, self.budget.amount)


def percent_of(part: int, whole: int) -> float:
    """Return per cent; of nothing everything is 100 and nothing 0."""
    if not whole:
        return 100.0 if part else 0.0
    return 100 * part / whole


def parse_amount(text: str, unit: Unit) -> int:
    """Return an amount (currency units or GPU-hours, as people write them) as micros or GPU seconds.

    Raises:
        UsageError: when it is no amount, is negative, or is finer than what can be counted.
    """
    try:
        number = Decimal(text.replace(",", "").replace("_", ""))
        if number > _MOST:
            raise UsageError(f"{text!r} is more than can be counted")
        amount = to_micros(number) if unit == "money" else int(number * 3600)
    except (InvalidOperation, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not an amount: write 2500 or 2500.50") from None
    if amount < 0:
        raise UsageError(f"{text!r} is negative: a budget is 0 or more")
    return amount


def lasting(status: BudgetStatus) -> str:
    """Return a sentence that says whether the budget lasts, spending as before; empty when it is used up."""
    gone, end = status.exhaustion, status.period.last
    if status.left <= 0:
        return ""
    if gone.earliest is None and status.forecast.high <= status.usage.used:
        return "There is no earlier spending to judge by."
    if gone.earliest is None or gone.earliest > end:
        return f"Spending as before, it lasts until {end}."
    if gone.expected is None or gone.expected > end:
        return f"Spending as before, it should last until {end}, but may be used up by {gone.earliest}."
    if gone.latest is None or gone.latest > end:
        return f"Spending as before, it is used up around {gone.expected} ({gone.earliest} at the earliest)."
    return (
        f"Spending as before, it is used up around {gone.expected} "
        f"(between {gone.earliest} and {gone.latest})."
    )
