"""Calibration: where it runs, what it may cost, and how its figures come back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.cli.calibrate import obey_need, one_a_model, only, undemanding, unmeasured
from mlcost_hpc.cli.evidence import measurements
from mlcost_hpc.errors import BudgetError
from mlcost_hpc.launch.choose import Choice, choose
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.record import Submission, write_submission
from mlcost_hpc.slurm.fake import FakeSlurm
from mlcost_hpc.train.attempts import Attempt, write_attempt
from tests.unit.launch.conftest import CARD, NODES, PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

NEED = Need(gpus=1, time_s=300, work=Work(amount=1e6), deadline_s=60, budget=Decimal("0.1"))


@pytest.fixture
def choice() -> Choice:
    """Everywhere where a calibration fits."""
    slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/partition_prio"})
    offers = list_offers(read_market(slurm), load_catalog(), CARD)
    return choose(undemanding(NEED), offers, load_catalog(), CARD)


def test_every_gpu_type_is_measured_once_where_it_is_cheapest(choice: Choice) -> None:
    """One run a GPU type, in spot as long as that is cheaper; work and deadline do not count."""
    found = [(item.offer.partition, item.offer.label) for item in one_a_model(choice)]
    assert found == [("spot", "a100-40gb"), ("spot", "h100")]


def test_what_is_measured_is_not_measured_again(choice: Choice) -> None:
    """A type on which this job was measured is left out, unless that was with another number of GPUs."""
    left = unmeasured(one_a_model(choice), {("h100", 1), ("a100-40gb", 2)})
    assert [item.offer.label for item in left] == ["a100-40gb"]


def test_budget_holds_for_all_calibrations_together(choice: Choice) -> None:
    """Two runs of five minutes at 0.09 and 0.15 cost more than 0.1: exit code 4, with the sum."""
    runs = one_a_model(choice)
    total = sum((item.forecast.cost for item in runs), Decimal(0))
    with pytest.raises(BudgetError, match=rf"the 2 calibrations cost up to {total:.4f}") as refused:
        obey_need(NEED, runs, "USD")
    assert refused.value.exit_code == 4
    obey_need(msgspec.structs.replace(NEED, budget=total), runs, "USD")


def test_runs_come_back_as_measurements(choice: Choice, tmp_path: Path) -> None:
    """Speed, memory, GPU and program of a run are read from its folder; damaged ones are passed over."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    submission = Submission(
        job_id="7", cluster="c", name="calibrate-h100", run_dir=run_dir,
        submitted="2026-01-01T00:00:00+00:00",
        command=("python", "train.py"), choice=only(choice, choice.best), currency="USD", log="log", job="j",
        program="p", calibrates=True,
    )  # fmt: skip
    write_submission(submission, {"MLCOST_STATE": str(tmp_path / "state")})
    attempt = Attempt(
        job_id="7", restart=0, started="2026-01-01T00:01:00+00:00", steps_per_second=12.5, gpu_model="h100",
        gpus=1, peak_memory=2**34, save_seconds=3.0, restore_seconds=1.0,
    )  # fmt: skip
    write_attempt(run_dir, attempt)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "submission.json").write_text("{")
    [found], save_s, restart_s = measurements([broken, run_dir], "j")
    item = found.measurement
    assert (item.gpu_model, item.gpus, item.per_second, item.peak_memory) == ("h100", 1, 12.5, 2**34)
    assert (item.source, item.job, item.program) == ("calibration", "j", "p")
    assert (save_s, restart_s) == (3.0, 1.0)
