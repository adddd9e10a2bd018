"""Tells Slurm an account's limit: shown, asked, set, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.errors import SlurmError

if TYPE_CHECKING:
    from mlcost_accounting.budgets.records import BudgetStatus

    from mlcost_hpc.cli.context import Context


def say_drift(context: Context) -> None:
    """Say why Slurm's own count may drift from the budget."""
    from mlcost_accounting.budgets.push import drift_notes

    for note in drift_notes(dict(context.slurm.config())):
        click.echo(f"mlcost: {note}", err=True)


def push_limit(context: Context, status: BudgetStatus, *, ask: bool) -> bool:
    """Set the limit that enforces a budget, and return True when Slurm then has it.

    Raises:
        UsageError: when Slurm has no such limit.
        SlurmError: when Slurm refuses, or reads back something else.
    """
    from mlcost_accounting.budgets import push

    from mlcost_hpc.slurm.process import run

    timeout = context.settings.slurm.timeout_s
    account, _, tres = push.target_of(status)
    cluster = next(value for name, value in context.slurm.config().items() if name.lower() == "clustername")
    used = push.parse_usage(run(push.show_usage(account), timeout_s=timeout).stdout, account, tres)
    limit = push.limit_of(status, used, context.settings.budgets.billing_per_unit)
    before = push.parse_limit(run(push.show_limit(account, cluster), timeout_s=timeout).stdout, tres)
    click.echo(
        f"account {account} on {cluster}: GrpTRESMins {tres} {'none' if before is None else before} -> "
        f"{limit.minutes} (Slurm counted {used} so far, budget {status.budget.name} has "
        f"{(limit.minutes or 0) - used} left)"
    )
    if before == limit.minutes:
        click.echo("nothing to change")
        return True
    if ask and not click.confirm("set it?"):
        return False
    run(push.modify_account(limit, cluster), timeout_s=timeout)
    after = push.parse_limit(run(push.show_limit(account, cluster), timeout_s=timeout).stdout, tres)
    if after != limit.minutes:
        raise SlurmError(f"Slurm was told {limit.minutes} and says {after}: ask its administrator")
    click.echo("set, and read back the same")
    return True
