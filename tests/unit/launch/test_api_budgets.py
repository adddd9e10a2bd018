"""Published budgets and the submitit-like interface, with an sbatch that only writes down what it gets."""

from __future__ import annotations

import getpass
import re
from typing import TYPE_CHECKING

import pytest
from mlcost_accounting.budgets.publishing import write_published

from mlcost_hpc.budgets import PublishedBudget, PublishedBudgets
from mlcost_hpc.config import PathSettings, Settings
from mlcost_hpc.errors import BudgetError, UsageError
from mlcost_hpc.launch.api import Executor
from mlcost_hpc.launch.assemble import assemble
from mlcost_hpc.launch.budget_gate import BudgetGate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.slurm.fake import FakeSlurm

LIMIT_H = 2


def double(number: int) -> int:
    return 2 * number


def scripts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("script-*"))]


@pytest.fixture
def executor_with(sbatch: Path, launcher: Launcher, tmp_path: Path) -> Callable[..., Executor]:
    """Return an executor of two hours a task where nlp may use so many GPU-hours more."""

    def make(gpu_hours: int, *, hard: bool = True) -> Executor:
        budget = PublishedBudget(
            name="nlp-month", scope="account", target="nlp", unit="gpu-hours", gpu_model="", hard=hard,
            accounts=("nlp",), period="2026-11", amount=gpu_hours * 3600, used=0, committed=0,
        )  # fmt: skip
        path = tmp_path / "budgets.json"
        write_published(path, PublishedBudgets(as_of=0, currency="USD", budgets=(budget,)))
        launcher.gate = BudgetGate(published=path)
        executor = Executor(tmp_path / "runs", launcher)
        executor.update_parameters(timeout_min=60 * LIMIT_H, gpus_per_node=1, slurm_account="nlp")
        return executor

    return make


def test_an_array_counts_with_all_its_tasks(executor_with: Callable[..., Executor], sbatch: Path) -> None:
    """Three tasks of two hours fit into 6 GPU-hours, four do not; nothing of a refused array is left."""
    executor = executor_with(3 * LIMIT_H)
    assert len(executor.map_array(double, range(3))) == 3
    sent = scripts(sbatch)
    pickles = sorted(executor.folder.glob("*.pkl"))
    with pytest.raises(BudgetError, match=r"'nlp-month'.* 6\.0 GPU-h free .*can take 8\.0 GPU-h") as refused:
        executor.map_array(double, range(4))
    assert refused.value.exit_code == 4
    assert scripts(sbatch) == sent
    assert sorted(executor.folder.glob("*.pkl")) == pickles


def test_an_array_in_parts_is_asked_for_as_a_whole(
    executor_with: Callable[..., Executor], sbatch: Path
) -> None:
    """Each part of 1,500 tasks would fit where 1,499 do; the whole does not, and no part is sent."""
    executor = executor_with(1499 * LIMIT_H)
    with pytest.raises(BudgetError):
        executor.map_array(double, range(1500))
    assert scripts(sbatch) == []


def test_a_single_job_is_refused_as_well(executor_with: Callable[..., Executor], sbatch: Path) -> None:
    """submit() asks for one task."""
    with pytest.raises(BudgetError):
        executor_with(LIMIT_H - 1).submit(double, 1)
    assert scripts(sbatch) == []
    executor_with(LIMIT_H).submit(double, 1)
    assert len(scripts(sbatch)) == 1


@pytest.mark.parametrize("own", [{"slurm_comment": "tag=paper"}, {"comment": "tag=paper"}, {}])
def test_an_override_is_in_the_comment_beside_the_users_own(
    own: dict[str, str], executor_with: Callable[..., Executor], sbatch: Path
) -> None:
    """Of a job and an array, once, wherever the user wrote theirs; it is said as a warning."""
    executor = executor_with(0)
    extra = own if "comment" in own else {}
    executor.update_parameters(
        over_budget="paper due", slurm_additional_parameters=extra, slurm_comment=own.get("slurm_comment", "")
    )
    with pytest.warns(UserWarning, match=r"overridden \(paper due\): hard budget 'nlp-month'"):
        executor.submit(double, 1)
    with pytest.warns(UserWarning, match="can take 4.0 GPU-h"):
        executor.map_array(double, range(2))
    by = f"by={getpass.getuser()} because paper due'"
    mine = "tag=paper " if own else ""
    told = [re.findall("--comment=(.*)", text) for text in scripts(sbatch)]
    assert told == [
        [f"'{mine}budget_override=nlp-month over=2.0GPU-h {by}"],
        [f"'{mine}budget_override=nlp-month over=4.0GPU-h {by}"],
    ]


def test_a_soft_budget_only_warns(executor_with: Callable[..., Executor], sbatch: Path) -> None:
    """The job is sent, and its comment says nothing."""
    with pytest.warns(UserWarning, match="soft budget 'nlp-month'"):
        executor_with(0, hard=False).submit(double, 1)
    assert "budget_override" not in scripts(sbatch)[0]


def test_the_account_that_sbatch_gets_is_the_one_that_counts(executor_with: Callable[..., Executor]) -> None:
    """In slurm_additional_parameters it takes the place of slurm_account, for the budget too."""
    executor = executor_with(0)
    executor.update_parameters(slurm_additional_parameters={"account": "vision"})
    executor.submit(double, 1)
    executor.update_parameters(slurm_account="vision", slurm_additional_parameters={"account": "nlp"})
    with pytest.raises(BudgetError):
        executor.submit(double, 1)


@pytest.mark.parametrize("reason", ["", " ", True])
def test_an_override_needs_a_reason(reason: object, executor_with: Callable[..., Executor]) -> None:
    """It is told when it is set, and not only when a budget refuses."""
    with pytest.raises(UsageError, match="over_budget= in Python"):
        executor_with(10).update_parameters(over_budget=reason)


def test_the_settings_name_the_published_budgets(slurm: FakeSlurm, catalog: Catalog, tmp_path: Path) -> None:
    """A launcher made from settings, as the executor's own is, asks the file that they name; else none."""
    settings = Settings(paths=PathSettings(published_budgets=str(tmp_path / "budgets.json")))
    assert assemble(settings, slurm, catalog).gate.published == tmp_path / "budgets.json"
    assert assemble(Settings(), slurm, catalog).gate.published is None
