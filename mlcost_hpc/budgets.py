"""Budgets as whoever submits sees them: the file that tells where each stands, and what it says (pure).

A user may not read the ledger. The operator's ``mlcost budget check --publish FILE`` writes where each budget
stands, without anybody's jobs in it, and the launcher reads that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.errors import BudgetError, ConfigError
from mlcost_hpc.money import format_money

if TYPE_CHECKING:
    from pathlib import Path

Scope = Literal["account", "project", "user"]
Unit = Literal["money", "gpu-hours"]


class PublishedBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a budget stands, as far as a submission needs it; amounts in the budget's unit.

    Attributes:
        name: its name.
        scope: whose spending counts; an account's includes that of the accounts below it.
        target: name of the account, project or user.
        unit: what is counted.
        gpu_model: with ``gpu-hours``: only GPUs of this model; empty = all.
        hard: True = submissions beyond it are refused; False = it only warns.
        accounts: for an account's budget, that account and those below it.
        period: name of the period.
        amount: what may be used.
        used: what is used.
        committed: what is promised to running and queued jobs.
    """

    name: str
    scope: Scope
    target: str
    unit: Unit
    gpu_model: str
    hard: bool
    accounts: tuple[str, ...]
    period: str
    amount: int
    used: int
    committed: int


class PublishedBudgets(msgspec.Struct, frozen=True, kw_only=True):
    """The file's content.

    Attributes:
        as_of: last moment the ledger knows of (UTC seconds).
        currency: what money is counted in.
        budgets: the budgets that hold.
    """

    as_of: int | None
    currency: str
    budgets: tuple[PublishedBudget, ...]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job, or an array of them, about to be submitted.

    Attributes:
        account, user, project: whose it is; an empty project is the account.
        cost: what it can cost until its time limit, all tasks together, micros.
        gpu_seconds: GPU model -> GPU seconds until the time limit, all tasks together.
    """

    account: str
    user: str
    project: str = ""
    cost: int
    gpu_seconds: Mapping[str, int] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What budgets say to a submission.

    Attributes:
        refusals: one line for each hard budget that it would break.
        warnings: one line for each soft one.
        refused_by: names of the hard budgets.
        over: by how much it could exceed each of those, with the unit.
    """

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refused_by: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


def check_submission(submission: Submission, published: PublishedBudgets) -> Verdict:
    """Return what budgets say to a submission."""
    refusals, warnings, refused_by, over = [], [], [], []
    for budget in published.budgets:
        wanted = _wanted(submission, budget)
        beyond = budget.used + budget.committed + wanted - budget.amount
        if not wanted or beyond <= 0:
            continue
        line = _line(budget, wanted, published.currency)
        if budget.hard:
            refusals.append(line)
            refused_by.append(budget.name)
            over.append(format_amount(beyond, budget.unit, published.currency))
        else:
            warnings.append(line)
    return Verdict(
        refusals=tuple(refusals), warnings=tuple(warnings), refused_by=tuple(refused_by), over=tuple(over)
    )


def require_budget(verdict: Verdict) -> None:
    """Raise when a hard budget refuses.

    Raises:
        BudgetError: naming the budgets and what is left of them.
    """
    if verdict.refusals:
        raise BudgetError("; ".join(verdict.refusals))


def read_published(path: Path) -> PublishedBudgets:
    """Return the budgets of a file.

    Raises:
        ConfigError: when it cannot be read or is no such file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=PublishedBudgets)
    except OSError as error:
        raise ConfigError(f"{path}: the published budgets cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: these are no published budgets: {error}") from None


def format_amount(amount: int, unit: Unit, currency: str) -> str:
    """Return an amount for people: ``1,234.50 EUR`` or ``120.0 GPU-h``."""
    if unit == "money":
        return f"{format_money(amount)} {currency}".rstrip()
    return f"{Decimal(amount) / 3600:,.1f} GPU-h"


def _wanted(submission: Submission, budget: PublishedBudget) -> int:
    """Return what a submission takes of a budget, 0 when it is not its business."""
    if budget.scope == "account":
        concerned = submission.account in (budget.accounts or (budget.target,))
    elif budget.scope == "user":
        concerned = submission.user == budget.target
    else:
        concerned = (submission.project or submission.account) == budget.target
    if not concerned:
        return 0
    if budget.unit == "money":
        return submission.cost
    if budget.gpu_model:
        return submission.gpu_seconds.get(budget.gpu_model, 0)
    return sum(submission.gpu_seconds.values())


def _line(budget: PublishedBudget, wanted: int, currency: str) -> str:
    def show(amount: int) -> str:
        return format_amount(amount, budget.unit, currency)

    free = budget.amount - budget.used - budget.committed
    kind = "hard" if budget.hard else "soft"
    return (
        f"{kind} budget {budget.name!r} ({budget.scope} {budget.target}, {budget.period}) has "
        f"{show(max(0, free))} free of {show(budget.amount)}, this can take {show(wanted)} "
        f"(used {show(budget.used)}, promised to running and queued jobs {show(budget.committed)})"
    )
