"""The launcher's question to the published budgets, its answer told on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.launch.budget_gate import BudgetGate, Stake


def obey(gate: BudgetGate, account: str | None, stakes: Sequence[Stake], over_budget: str | None) -> str:
    """Refuse jobs that a hard budget does not allow all together, warn of soft ones.

    Returns:
        Words for the jobs' comment that record an override; empty when there is none.

    Raises:
        BudgetError: a hard budget refuses, and nobody overrides it.
        UsageError: an override has no reason.
        ConfigError: the published budgets cannot be read, and nobody overrides that.
    """
    leave = gate.ask(account, stakes, over_budget)
    for line in leave.said:
        click.echo(f"mlcost: {printable(line)}", err=True)
    return leave.comment
