"""Budgets and weights on a real Slurm: what is pushed is enforced, alerts go out once, prices agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

RATES = """
currency = "EUR"
[[card]]
valid_from = 2020-01-01
cpu_hour = 0.02
memory_gib_hour = 0.002
gpu_hour = { t4 = 0.35, v100 = 0.90, a100-40gb = 1.80, h100 = 3.60 }
[card.partition.spot]
multiplier = 0.4
"""


class Desk:
    """An operator's folder with settings, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rates.toml").write_text(RATES)
        (folder / "alerts.toml").write_text(
            f'[[channel]]\nname = "file"\nkind = "command"\nargv = ["tee", "-a", "{folder}/told"]\n'
        )
        (folder / "mlcost.toml").write_text(
            '[paths]\nrates = "rates.toml"\nledger = "ledger.db"\nalerts = "alerts.toml"\n'
            'published_budgets = "budgets.json"\n'
        )

    def mlcost(self, *words: str, code: int = 0) -> str:
        """What a command prints; it must end with this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "mlcost_hpc.cli.main", *words],
            cwd=self.folder, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def told(self) -> int:
        """How many alerts were sent."""
        path = self.folder / "told"
        return path.read_text().count('"key"') if path.exists() else 0


@pytest.fixture
def desk(tmp_path: Path, cluster: Any) -> Iterator[Desk]:
    """An operator's desk; the account's limit is taken away after the test."""
    yield Desk(tmp_path)
    name = cluster.run("scontrol", "show", "config").split("ClusterName")[1].split()[1]
    where = ("where", "name=robotics", f"cluster={name}")
    cluster.run("sacctmgr", "--immediate", "modify", "account", *where, "set", "GrpTRESMins=billing=-1")


def test_a_pushed_budget_is_enforced_by_slurm(desk: Desk, cluster: Any) -> None:
    """A budget with nothing left, pushed and read back, keeps the account's next job waiting."""
    desk.mlcost("ingest")
    desk.mlcost("budget", "add", "r", "--account", "robotics", "--amount", "0", "--hard")
    said = desk.mlcost("budget", "push", "r", "--yes")
    assert "set, and read back the same" in said
    assert "nothing to change" in desk.mlcost("budget", "push", "r", "--yes")
    job = cluster.run(
        "sbatch", "--parsable", "--account=robotics", "--partition=h100", "--gres=gpu:h100:8", "--time=5",
        "--output=/dev/null", "--wrap=true",
    ).strip()  # fmt: skip
    deadline = time.monotonic() + 30
    while (reason := cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%r").strip()) in (
        "None", "Priority", "",
    ):  # fmt: skip
        assert time.monotonic() < deadline, reason
        time.sleep(0.2)
    assert reason == "AssocGrpBillingMinutes"


def test_committed_and_settled_are_the_jobs(desk: Desk, cluster: Any) -> None:
    """A queued job of an hour on a node's GPUs is committed at its full price, and an alert is sent once."""
    job = cluster.run(
        "sbatch", "--parsable", "--hold", "--account=robotics", "--partition=h100", "--gres=gpu:h100:2",
        "--cpus-per-task=4", "--mem=8G", "--time=60", "--output=/dev/null", "--wrap=true",
    ).strip()  # fmt: skip
    desk.mlcost("ingest")
    desk.mlcost("budget", "add", "r", "--account", "robotics", "--amount", "7", "--alert", "1000", "--hard")
    (row,) = json.loads(desk.mlcost("budget", "check", "--format", "json"))
    assert row["committed"] == "7.296000", "2 x 3.60 + 4 x 0.02 + 8 x 0.002 for an hour"
    published = json.loads((desk.folder / "budgets.json").read_text())["budgets"][0]
    assert (published["committed"], published["hard"]) == (7_296_000, True)
    cluster.run("scancel", job)
    desk.mlcost("ledger", "enter", "charge", "robotics", "100", "--reason", "a test")
    for _ in range(3):
        desk.mlcost("budget", "check")
    assert desk.told() == 1


ARRAY = """#!/bin/bash
#SBATCH --array=0-99%1
#SBATCH --account=robotics --partition=h100 --gres=gpu:h100:1 --time=10 --cpus-per-task=1 --mem=1G
#SBATCH --output=/dev/null
true
"""


def test_a_submission_obeys_the_budget_or_is_on_record(desk: Desk, cluster: Any) -> None:
    """What does not fit ends with 4 and sends nothing; with a reason it runs, and everybody can read why."""
    desk.mlcost("ingest")
    desk.mlcost("budget", "add", "r", "--account", "robotics", "--amount", "4", "--hard")
    desk.mlcost("budget", "check")
    job = ("--account", "robotics", "--partition", "h100", "--gpus", "1", "--time")
    refused = desk.mlcost("submit", *job, "2h", "--", "true", code=4)
    assert "job" not in refused
    desk.mlcost("submit", *job, "10m", "--dry-run", "--", "true")
    (desk.folder / "many.sh").write_text(ARRAY)
    desk.mlcost("submit", "many.sh", code=4)
    (desk.folder / "one.sh").write_text(ARRAY.replace("0-99%1", "7"))
    desk.mlcost("submit", "--dry-run", "one.sh")
    sent = json.loads(
        desk.mlcost("submit", *job, "2h", "--format", "json", "--over-budget", "paper due", "--", "true")
    )
    desk.mlcost("budget", "check")
    deadline = time.monotonic() + 60
    while not (rows := [row for row in _overrides(desk) if row["job"] == sent["job_id"]]):
        assert time.monotonic() < deadline, "the override is in no accounting row"
        time.sleep(0.5)
        desk.mlcost("ingest")
    (row,) = rows
    assert (row["account"], row["budgets"], row["reason"]) == ("robotics", "r", "paper due")
    assert row["over"].endswith(" EUR")
    assert float(row["over"].split()[0]) == pytest.approx(7.2 - 4, abs=0.5)


def _overrides(desk: Desk) -> list[dict[str, str]]:
    return list(json.loads(desk.mlcost("budget", "overrides", "--format", "json")))


def test_weights_give_slurm_the_cards_price(desk: Desk, cluster: Any) -> None:
    """The line for slurm.conf prices each GPU type the partition has, and tells what the cut loses."""
    out = desk.mlcost("rates", "billing-weights", "--partition", "mixed", "--partition", "spot")
    assert 'PartitionName=mixed TRESBillingWeights="CPU=20,Mem=2G,GRES/gpu:t4=350,GRES/gpu:v100=900"' in out
    rows = json.loads(desk.mlcost("rates", "billing-weights", "--partition", "spot", "--format", "json"))
    (memory,) = [row for row in rows if row["what"] == "1 GiB"]
    assert (memory["exact"], memory["billed"], memory["lost_percent"]) == ("0.8", 0, "100.00")
