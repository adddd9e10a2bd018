"""What a run has cost so far and per step, and stopping when the money is spent. Needs no torch."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import round_micros, to_decimal, to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping

PRICE_VARIABLE = "MLCOST_PRICE_PER_HOUR"
"""What the launcher tells a job about its price: currency units per hour for all it holds."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent and what is to come, in micros (millionths of the currency's unit).

    Attributes:
        spent: over all attempts.
        per_step: mean over the steps done and safe or under way; None before the first.
        remaining: for the steps to come at that mean; None before the first.
    """

    spent: int
    per_step: int | None
    remaining: int | None

    def describe(self, currency: str = "$") -> str:
        """Return one line for a person."""
        line = f"spent {currency}{to_decimal(self.spent):.4f}"
        if self.per_step is not None and self.remaining is not None:
            line += (
                f", {currency}{to_decimal(self.per_step):.6f} a step, "
                f"{currency}{to_decimal(self.remaining):.4f} to go"
            )
        return line


def compute_cost(price_per_hour: int, elapsed_s: float, done: int, total: int) -> Cost:
    """Return the cost of a run.

    Args:
        price_per_hour: micros.
        elapsed_s: seconds the run has held its place, over all attempts; work that was lost and done again
            was paid for too.
        done: steps done.
        total: steps wanted.
    """
    milliseconds = round(elapsed_s * 1000)
    spent = round_micros(price_per_hour * milliseconds, 3_600_000)
    if done <= 0:
        return Cost(spent=spent, per_step=None, remaining=None)
    return Cost(
        spent=spent,
        per_step=round_micros(spent, done),
        remaining=round_micros(spent * max(total - done, 0), done),
    )


def price_from(environment: Mapping[str, str]) -> int | None:
    """Return the price in micros per hour that the launcher passed; None when it passed none.

    Raises:
        UsageError: it is not an amount.
    """
    text = environment.get(PRICE_VARIABLE)
    if not text:
        return None
    try:
        return to_micros(Decimal(text))
    except (ArithmeticError, ValueError) as error:
        msg = f"{PRICE_VARIABLE}={text!r} is not an amount of money per hour"
        raise UsageError(msg) from error


class Spender(Protocol):
    """What the guard needs of a run."""

    @property
    def elapsed_s(self) -> float:
        """Seconds the run has held its place, over all attempts."""

    def stop_for_budget(self, note: str) -> None:
        """Save and leave."""


class BudgetGuard:
    """Saves and stops a run when its money is spent; it is not requeued.

    ::

        guard = BudgetGuard(Decimal("25"))
        for step in run.steps(total):
            ...
            guard.check(run)

    All time counts at the price of the place where the run is: of a run that was moved to a dearer one the
    guard stops it early rather than late.

    Args:
        limit: how much the run may cost over all its attempts, in the currency's unit.
        per_hour: the price of all it holds; None = what the launcher says.
        environment: for tests; the process environment otherwise.

    Raises:
        UsageError: an amount is negative, or nobody says the price.
    """

    def __init__(
        self,
        limit: Decimal,
        *,
        per_hour: Decimal | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        price = price_from(environment) if per_hour is None else to_micros(per_hour)
        if price is None:
            raise UsageError(f"no price: submit with mlcost, set {PRICE_VARIABLE}, or give per_hour")
        if limit < 0 or price < 0:
            raise UsageError("a budget and a price cannot be negative")
        self._limit = to_micros(limit)
        self._per_hour = price

    def check(self, run: Spender) -> None:
        """Stop the run after this step if what it has cost has reached the limit."""
        spent = compute_cost(self._per_hour, run.elapsed_s, 0, 0).spent
        if spent >= self._limit:
            run.stop_for_budget(f"budget spent: {to_decimal(spent):.2f} of {to_decimal(self._limit):.2f}")
