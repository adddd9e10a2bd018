"""Limits that Slurm enforces: arithmetic, commands, answers as 22.05 prints them."""

from __future__ import annotations

from datetime import date

import pytest
from mlcost_accounting.budgets.push import (
    drift_notes,
    limit_of,
    modify_account,
    parse_limit,
    parse_usage,
    target_of,
)
from mlcost_accounting.budgets.records import Budget, BudgetStatus
from mlcost_accounting.budgets.status import status_of

from mlcost_hpc.errors import UsageError

TODAY = date(2026, 11, 25)
USAGE = """\
nlp||cpu=131,mem=268070,energy=0,node=32,billing=6699,fs/disk=0,vmem=0,pages=0,gres/gpu=65,gres/gpu:a100=65
 nlp|root|cpu=131,mem=268070,energy=0,node=32,billing=6699,fs/disk=0,vmem=0,pages=0,gres/gpu=65
"""
LIMITS = "|billing=119080,gres/gpu=60\nmlc-ana|\nroot|billing=5\n"


def status(used: int = 0, **changes: object) -> BudgetStatus:
    fields: dict[str, object] = {
        "name": "x", "scope": "account", "target": "nlp", "amount": 2_000_000, "hard": True,
        "since": date(2026, 11, 1),
    }  # fmt: skip
    return status_of(Budget(**(fields | changes)), TODAY, {TODAY: (used, 0)}, {})  # type: ignore[arg-type]


def test_the_limit_is_what_slurm_counted_plus_what_is_left() -> None:
    """2 units less 0.5 used, at 1000 billing units an hour, are 90,000 billing minutes on top of 6,699."""
    limit = limit_of(status(500_000), 6699, 1000)
    assert limit.minutes == 6699 + 90_000
    assert limit_of(status(9_000_000), 6699, 1000).minutes == 6699, "an overspent budget leaves nothing"


def test_gpu_hours_are_gpu_minutes() -> None:
    """A budget of 10 GPU-hours, 4 of them used, leaves 360 GPU minutes."""
    limit = limit_of(status(4 * 3600, unit="gpu-hours", amount=36_000), 65, 1000)
    assert (limit.tres, limit.minutes) == ("gres/gpu", 65 + 360)


@pytest.mark.parametrize(
    "changes",
    [{"scope": "project"}, {"scope": "user"}, {"hard": False}, {"unit": "gpu-hours", "gpu_model": "t4"}],
)
def test_what_slurm_cannot_limit_is_refused(changes: dict[str, object]) -> None:
    """Only hard budgets of accounts have a limit in Slurm that means the same."""
    with pytest.raises(UsageError):
        target_of(status(**changes))  # type: ignore[arg-type]


def test_answers_are_read() -> None:
    """The account's own line counts, not its users'; a TRES without a limit has none."""
    assert parse_usage(USAGE, "nlp", "billing") == 6699
    assert parse_limit(LIMITS, "billing") == 119_080
    assert parse_limit(LIMITS, "cpu") is None
    assert parse_limit("|\nroot|billing=5\n", "billing") is None
    with pytest.raises(UsageError, match="nope"):
        parse_usage(USAGE, "nope", "billing")


def test_the_command_names_account_and_cluster() -> None:
    """Only the account on this cluster is changed, without sacctmgr asking."""
    assert modify_account(limit_of(status(), 0, 1000), "alpha") == [
        "sacctmgr", "--immediate", "modify", "account", "where", "name=nlp", "cluster=alpha", "set",
        "GrpTRESMins=billing=120000",
    ]  # fmt: skip


def test_why_slurms_count_drifts_is_said() -> None:
    """A half-life, or limits that are not enforced, make the limit worth less than it looks."""
    fine = {"AccountingStorageEnforce": "associations,limits,qos,safe", "PriorityDecayHalfLife": "00:00:00"}
    assert drift_notes(fine) == []
    notes = drift_notes({"AccountingStorageEnforce": "associations", "PriorityDecayHalfLife": "7-00:00:00"})
    assert len(notes) == 2
    assert "PriorityDecayHalfLife" in notes[1]
