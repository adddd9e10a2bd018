"""The gate between published budgets and a compression batch, on the in-memory cluster."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import pytest
from mlcost_accounting.budgets.publishing import write_published

from mlcost_hpc.budgets import PublishedBudget, PublishedBudgets
from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.cli.compress_gate import obey_for_batch
from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.newplan import plan_text
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.submissions import Submitted, write_submitted
from mlcost_hpc.compress.submit import Orders
from mlcost_hpc.errors import BudgetError
from mlcost_hpc.launch.budget_gate import BudgetGate
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need
from mlcost_hpc.slurm.api import Job
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.compress.conftest import linear_model
from tests.unit.launch.conftest import CARD, NODES, PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Orders]:
    """The gate of a site where nlp may spend so many more, in front of a batch of two tasks of an hour."""
    linear_model(tmp_path / "linear.onnx")
    (tmp_path / "plan.toml").write_text(
        plan_text([tmp_path / "linear.onnx"], ["int8-dynamic", "fp16"], tmp_path)
    )
    manifest = expand(load_plan(tmp_path / "plan.toml"), tmp_path / "plan.toml")
    batch = Batch(tmp_path / "batch")
    batch.write_manifest(manifest)

    def ask(micros: int, reason: str | None = None, *, queued: int = 0) -> Orders:
        budget = PublishedBudget(
            name="hard", scope="account", target="nlp", unit="money", gpu_model="", hard=True,
            accounts=("nlp",), period="2026-11", amount=micros, used=0, committed=0,
        )  # fmt: skip
        published = PublishedBudgets(as_of=0, currency="USD", budgets=(budget,))
        write_published(tmp_path / "budgets.json", published)
        jobs = [Job(job_id=f"5_{at}", raw_job_id="5", state="PENDING") for at in range(queued)]
        slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, jobs=jobs)
        launcher = Launcher(
            slurm, load_catalog(), CARD, currency="USD", runs=tmp_path / "runs",
            gate=BudgetGate(published=tmp_path / "budgets.json"),
        )  # fmt: skip
        if queued:
            packs = tuple((task.id,) for task in manifest.tasks[:queued])
            write_submitted(
                batch,
                Submitted(
                    job="5", kind="task", packs=packs, memory=2**30, partition="cpu",
                    per_hour=CARD.cpu_hour, currency="USD", submitted=1.0,
                ),
            )  # fmt: skip
        orders = Orders(need=Need(cpus=1, time_s=3600, account="nlp"))
        return obey_for_batch(launcher, batch, manifest, orders, reason)

    return ask


def least(gate: Callable[..., Orders], **asked: int) -> int:
    """Return the smallest budget, in micros, that lets the batch pass."""
    low, high = 0, 100_000_000
    while high - low > 1:
        middle = (low + high) // 2
        try:
            gate(middle, **asked)
            high = middle
        except BudgetError:
            low = middle
    return high


def test_all_missing_tasks_count_and_those_in_the_queue_do_not(gate: Callable[..., Orders]) -> None:
    """Of two tasks one is queued and promised already: the other alone is asked for, half as much."""
    both, one = least(gate), least(gate, queued=1)
    assert both == 2 * one
    with pytest.raises(BudgetError) as refused:
        gate(both - 1)
    assert refused.value.exit_code == 4
    assert gate(0, queued=2).options == {}, "nothing is left to ask for"


def test_an_override_is_in_the_arrays_comment(gate: Callable[..., Orders]) -> None:
    """The reason is handed to sbatch as the job's comment, and only where a budget refused."""
    comment = gate(0, "review").options["comment"]
    assert comment.startswith("budget_override=hard over=")
    assert comment.endswith(f"by={getpass.getuser()} because review")
    assert gate(10**12, "review").options == {}
