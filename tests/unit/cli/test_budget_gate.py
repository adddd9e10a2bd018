"""The gate between published budgets and a submission, with a fake sacctmgr on PATH."""

from __future__ import annotations

import getpass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from mlcost_accounting.budgets.publishing import write_published

from mlcost_hpc.budgets import PublishedBudget, PublishedBudgets
from mlcost_hpc.cli.budget_gate import obey
from mlcost_hpc.cli.context import Context
from mlcost_hpc.errors import BudgetError, ConfigError, UsageError
from mlcost_hpc.launch.budget_gate import Stake, gate_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return the gate of a site where nlp may spend 10 more, in front of a job of 2 an hour and 6 hours."""
    sacctmgr = tmp_path / "sacctmgr"
    sacctmgr.write_text("#!/bin/sh\necho nlp\n")
    sacctmgr.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "mlcost.toml").write_text('[paths]\npublished_budgets = "budgets.json"\n')
    common: dict[str, Any] = {
        "scope": "account", "target": "nlp", "unit": "money", "gpu_model": "", "accounts": ("nlp",),
        "period": "2026-11", "used": 0, "committed": 0,
    }  # fmt: skip
    budgets = (
        PublishedBudget(name="hard", hard=True, amount=10_000_000, **common),
        PublishedBudget(name="soft", hard=False, amount=5_000_000, **common),
    )
    write_published(tmp_path / "budgets.json", PublishedBudgets(as_of=0, currency="USD", budgets=budgets))
    context = Context(config_file=tmp_path / "mlcost.toml", verbose=False)

    def ask(
        account: str | None = "nlp", time_s: int = 6 * 3600, tasks: int = 1, over_budget: str | None = None
    ) -> str:
        stake = Stake(Decimal(2), time_s, "h100", 2, tasks)
        return obey(gate_of(context.settings), account, [stake], over_budget)

    return ask


def test_what_does_not_fit_is_refused_with_exit_code_4(gate: Callable[..., str]) -> None:
    """Up to the time limit it would take 12 of the 10 that are free."""
    with pytest.raises(BudgetError, match="hard budget 'hard'") as refused:
        gate()
    assert refused.value.exit_code == 4


def test_what_fits_passes_without_a_comment(
    gate: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A soft budget only warns; of a job of 2 nobody says anything."""
    assert gate(time_s=5 * 3600) == ""
    assert "soft budget 'soft'" in capsys.readouterr().err
    assert gate(time_s=3600) == ""
    assert capsys.readouterr().err == ""


def test_tasks_count_together_and_other_accounts_do_not(gate: Callable[..., str]) -> None:
    """Six tasks of one hour are as much as one of six hours; vision has no budget."""
    with pytest.raises(BudgetError):
        gate(time_s=3600, tasks=6)
    assert gate(account="vision") == ""


def test_without_an_account_the_users_default_one_counts(gate: Callable[..., str]) -> None:
    """Slurm is asked for it."""
    with pytest.raises(BudgetError):
        gate(account=None)


def test_an_override_is_said_and_recorded_in_the_comment(
    gate: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason loses what means something elsewhere; where nothing refuses there is no record."""
    words = gate(over_budget='paper\x1b[31m "due"|x')
    assert words == f"budget_override=hard over=2.00USD by={getpass.getuser()} because paper 31m due x"
    assert "\x1b" not in capsys.readouterr().err
    assert gate(time_s=3600, over_budget="paper") == ""
    with pytest.raises(UsageError, match="needs a reason"):
        gate(over_budget=" ")


@pytest.mark.parametrize(("text", "why"), [("{", "no published budgets"), (None, "cannot be read: No such")])
def test_budgets_that_cannot_be_read_let_nothing_pass_unsaid(
    text: str | None, why: str, tmp_path: Path, gate: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A site that has budgets obeys them: who cannot wait for their repair says why, and that is recorded."""
    path = tmp_path / "budgets.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"{why}.*mlcost budget check.*--over-budget REASON") as refused:
        gate()
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    words = gate(over_budget="deadline tonight")
    assert words == f"budget_override=unread by={getpass.getuser()} because deadline tonight"
    assert why in capsys.readouterr().err
