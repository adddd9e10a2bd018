"""Hard budgets as limits that Slurm itself enforces: ``GrpTRESMins`` of an association (pure).

Slurm compares the limit with what it has counted for the association since its last reset, so the limit is
what Slurm has counted so far plus what is left of the budget. It must be pushed again when a new period
begins or the ledger learns of corrections; ``mlcost budget push`` in a timer does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import MICROS
from mlcost_hpc.units import parse_elapsed

if TYPE_CHECKING:
    from mlcost_accounting.budgets.records import BudgetStatus


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of one association.

    Attributes:
        account: its account.
        user: its user; empty = the whole account.
        tres: what is limited: ``billing`` or ``gres/gpu``.
        minutes: TRES minutes; None = no limit.
        used: TRES minutes Slurm has counted.
    """

    account: str
    user: str
    tres: str
    minutes: int | None
    used: int


def target_of(status: BudgetStatus) -> tuple[str, str, str]:
    """Return (account, user, TRES) of the limit that enforces a budget.

    Raises:
        UsageError: when Slurm has no such limit.
    """
    budget = status.budget
    if budget.scope != "account":
        raise UsageError(
            f"budget {budget.name!r}: Slurm can only be told limits of accounts, not of a {budget.scope}"
        )
    if not budget.hard:
        raise UsageError(f"budget {budget.name!r} is soft: only hard budgets are enforced by Slurm")
    if budget.unit == "money":
        return budget.target, "", "billing"
    if budget.gpu_model:
        raise UsageError(
            f"budget {budget.name!r}: a limit on one GPU model is not pushed; make it one on all GPUs"
        )
    return budget.target, "", "gres/gpu"


def limit_of(status: BudgetStatus, used: int, per_unit: int) -> Limit:
    """Return the limit that leaves what is left of the budget.

    Args:
        status: where the budget stands.
        used: TRES minutes Slurm has counted for the association.
        per_unit: billing units of one currency unit an hour, as in the partitions' billing weights.
    """
    account, user, tres = target_of(status)
    left = max(0, status.left)
    minutes = left * per_unit * 60 // MICROS if status.budget.unit == "money" else left // 60
    return Limit(account=account, user=user, tres=tres, minutes=used + minutes, used=used)


def modify_account(limit: Limit, cluster: str) -> list[str]:
    """Return the command that sets a limit; ``-1`` takes it away."""
    value = -1 if limit.minutes is None else limit.minutes
    return [
        "sacctmgr", "--immediate", "modify", "account", "where", f"name={limit.account}",
        f"cluster={cluster}", "set", f"GrpTRESMins={limit.tres}={value}",
    ]  # fmt: skip


def show_limit(account: str, cluster: str) -> list[str]:
    """Return the command that reads the limits of an account back."""
    return [
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", "where", f"account={account}",
        f"cluster={cluster}", "format=user,grptresmins",
    ]  # fmt: skip


def show_usage(account: str) -> list[str]:
    """Return the command that tells what Slurm has counted for an account."""
    return [
        "sshare",
        "--noheader",
        "--parsable2",
        f"--accounts={account}",
        "--format=Account,User,GrpTRESRaw",
    ]


def parse_limit(text: str, tres: str) -> int | None:
    """Return an account's own limit (TRES minutes) from the answer to :func:`show_limit`; None = none."""
    for line in text.splitlines():
        user, _, limits = line.partition("|")
        if not user.strip():
            return _tres_value(limits, tres)
    return None


def parse_usage(text: str, account: str, tres: str) -> int:
    """Return what Slurm has counted (TRES minutes) from the answer to :func:`show_usage`.

    Raises:
        UsageError: when the account is not in the answer.
    """
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 3 and parts[0] == account and not parts[1]:
            return _tres_value(parts[2], tres) or 0
    raise UsageError(f"Slurm knows no account {account!r}")


def drift_notes(config: dict[str, str]) -> list[str]:
    """Return why Slurm's count may drift from the budget, from its settings (names in any case)."""
    settings = {name.lower(): value for name, value in config.items()}
    notes = []
    enforce = settings.get("accountingstorageenforce", "").lower()
    if "limits" not in enforce and "safe" not in enforce:
        notes.append("AccountingStorageEnforce lacks limits: Slurm keeps the limit but does not enforce it")
    elif "safe" not in enforce:
        notes.append("AccountingStorageEnforce lacks safe: a job starts while anything at all is left")
    half_life = settings.get("prioritydecayhalflife", "")
    if half_life and _seconds(half_life):
        notes.append(
            f"PriorityDecayHalfLife={half_life}: Slurm forgets usage, so its limit loosens with time; "
            "set it to 0, or push again every day"
        )
    return notes


def _seconds(text: str) -> int:
    return parse_elapsed(text) if ":" in text else 0


def _tres_value(text: str, tres: str) -> int | None:
    for entry in text.strip().split(","):
        name, equals, value = entry.partition("=")
        if equals and name == tres and value.lstrip("-").isdecimal():
            return int(value)
    return None
