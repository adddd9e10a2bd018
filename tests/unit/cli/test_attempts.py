"""Runs of a job, joined from Slurm's rows and the training loop's records."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.cli.attempts import join
from mlcost_hpc.cli.explain import explain_choice, hours
from mlcost_hpc.cli.why import account_for
from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.record import (
    Submission,
    find_run_dir,
    read_submission,
    recent_run_dirs,
    write_submission,
)
from mlcost_hpc.slurm.api import Job, Run
from mlcost_hpc.slurm.fake import FakeSlurm
from mlcost_hpc.train.attempts import Attempt
from tests.unit.launch.conftest import CARD, NODES, PARTITIONS

HOUR = 3600
START = 1_790_000_000


def run(number: int, state: str, start: int, end: int | None) -> Run:
    return Run(
        cluster="c", job_id="7", raw_job_id="7", state=state, partition="spot", submitted=start - 10 + number,
        started=start, ended=end, elapsed_s=0 if end is None else end - start,
    )  # fmt: skip


def attempt(restart: int, first: int, last: int, reached: int | None = None) -> Attempt:
    return Attempt(
        job_id="7", restart=restart, started="2026-09-21T14:13:20+00:00", first_step=first, last_step=last,
        reached_step=last if reached is None else reached, total_steps=1000, reason="preempted",
    )  # fmt: skip


RUNS = [run(0, "REQUEUED", START, START + HOUR), run(1, "RUNNING", START + 2 * HOUR, None)]


def test_each_run_gets_its_own_steps() -> None:
    """The n-th row of the accounting is restart number n of the training."""
    rows = join("7", RUNS, [attempt(1, 300, 400), attempt(0, 0, 300)], [])
    assert [(row["state"], row["first_step"], row["last_step"]) for row in rows] == [
        ("REQUEUED", 0, 300), ("RUNNING", 300, 400),
    ]  # fmt: skip


def test_lost_steps_are_those_done_and_not_resumed() -> None:
    """What an attempt reached beyond the step where the next began was lost."""
    first, second = join("7", RUNS, [attempt(0, 0, 300, reached=350), attempt(1, 300, 400)], [])
    assert (first["lost_steps"], second["lost_steps"]) == (50, None)


def test_the_queue_knows_the_last_run_better() -> None:
    """The controller's state of the last run wins over the accounting's older one."""
    live = Job(job_id="7", raw_job_id="7", state="COMPLETED", restarts=1, started=START, ended=START + 60)
    assert join("7", RUNS, [], [live])[1]["state"] == "COMPLETED"


def test_a_waiting_restart_is_a_run_to_come() -> None:
    """A requeued job that waits shows its next run as pending, without a start."""
    live = Job(job_id="7", raw_job_id="7", state="PENDING", restarts=1, partitions=("spot",))
    rows = join("7", RUNS[:1], [attempt(0, 0, 300)], [live])
    assert [(row["state"], row["start"] is None) for row in rows] == [("REQUEUED", False), ("PENDING", True)]


def test_without_accounting_the_loops_records_are_enough() -> None:
    """On a cluster without accounting attempts come from the training's own files."""
    rows = join("7", [], [attempt(0, 0, 300), attempt(1, 300, 1000)], [])
    assert [row["last_step"] for row in rows] == [300, 1000]
    assert rows[0]["start"] == "2026-09-21T14:13:20+00:00"


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    """A submission of one hour on the cheapest H100."""
    slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/partition_prio"})
    offers = list_offers(read_market(slurm), load_catalog(), CARD)
    choice = choose(Need(gpus=1, gpu_types=("h100",), time_s=HOUR), offers, load_catalog(), CARD)
    return Submission(
        job_id="7", cluster="c", name="job", run_dir=tmp_path / "run", submitted="2026-09-21T14:00:00+00:00",
        command=("true",), choice=choice, currency="USD", log="log",
    )  # fmt: skip


def test_why_counts_money_and_minutes_of_each_stop(submission: Submission) -> None:
    """A stop that lost 50 of 350 steps cost a seventh of that run, and the wait until the next one."""
    rows = join("7", RUNS, [attempt(0, 0, 300, reached=350), attempt(1, 300, 400)], [])
    account = account_for(submission, rows)
    [stop] = account["stops"]
    per_hour = submission.choice.best.per_hour
    assert stop["gap_s"] == HOUR
    assert stop["lost_s"] == pytest.approx(HOUR / 7, abs=0.1)
    assert Decimal(account["cost"]) == per_hour
    assert Decimal(stop["cost"]) == pytest.approx(per_hour / 7, abs=Decimal("0.001"))


def test_why_counts_the_last_save_and_getting_going_again(submission: Submission) -> None:
    """A stop costs the save at the old price, and launching and loading at the price of the next run."""
    saved = msgspec.structs.replace(attempt(0, 0, 300), reason="preempted", save_seconds=36.0)
    began = datetime.fromtimestamp((RUNS[1].started or 0) + 60, UTC).isoformat()
    again = msgspec.structs.replace(attempt(1, 300, 400), started=began, restore_seconds=12.0)
    first, second = join("7", RUNS, [saved, again], [])
    second["partition"] = "h100"
    prices = {item.offer.partition: item.per_hour for item in submission.choice.ranked}
    [stop] = account_for(submission, [first, second])["stops"]
    assert (stop["lost_s"], stop["save_s"], stop["restart_s"], stop["minutes"]) == (0, 36, 72, 1.8)
    assert Decimal(stop["cost"]) == (prices["spot"] + 2 * prices["h100"]) / 100


def test_why_prices_each_run_where_it_was(submission: Submission) -> None:
    """A job that was moved from spot to the guaranteed partition costs that one's price from then on."""
    first, second = join("7", RUNS, [], [])
    second |= {"partition": "h100", "elapsed_s": HOUR}
    prices = {item.offer.partition: item.per_hour for item in submission.choice.ranked}
    account = account_for(submission, [first, second])
    assert Decimal(account["cost"]) == prices["spot"] + prices["h100"]


def test_submission_is_found_again_by_its_id(submission: Submission, tmp_path: Path) -> None:
    """The record round-trips, and job id and array task lead to its folder."""
    environ = {"MLCOST_STATE": str(tmp_path / "state")}
    submission.run_dir.mkdir()
    write_submission(submission, environ)
    assert read_submission(submission.run_dir) == submission
    assert find_run_dir("7_3", "c", environ) == submission.run_dir
    assert recent_run_dirs("c", 10, environ) == [submission.run_dir]
    assert (submission.run_dir / "submission.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("job", ["8", "../7", "", "7/../7"])
def test_unknown_job_is_a_usage_error(job: str, tmp_path: Path) -> None:
    """A job that was not submitted here, or no job id at all, is told in one line."""
    with pytest.raises(UsageError, match="was not submitted with mlcost"):
        find_run_dir(job, "c", {"MLCOST_STATE": str(tmp_path)})


def test_explanation_fits_a_hundred_columns(submission: Submission) -> None:
    """No line of --explain is wider than 100 columns."""
    text = explain_choice(submission.choice, "USD")
    assert max(map(len, text.splitlines())) <= 100


def test_long_names_and_notes_fit_a_hundred_columns(submission: Submission) -> None:
    """Names of sites are long, and so are reasons: names are cut, lines folded, columns stay aligned."""
    best = submission.choice.best
    offer = msgspec.structs.replace(
        best.offer, partition="gpu-preemptible-short", gpu_model="a100-40gb-3g.20gb"
    )
    long = msgspec.structs.replace(best, offer=offer)
    choice = msgspec.structs.replace(
        submission.choice, ranked=(long, *submission.choice.ranked), notes=("word " * 40,)
    )
    lines = explain_choice(choice, "USD").splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].index("GPUs") == lines[2].index("1 x ") == lines[3].index("1 x ")


@pytest.mark.parametrize(("amount", "text"), [(0.01, "36s"), (0.5, "30m"), (3.52, "3.5h"), (60, "2.5d")])
def test_durations_are_short(amount: float, text: str) -> None:
    """Durations are given in the unit that suits them."""
    assert hours(amount) == text
