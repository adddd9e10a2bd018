"""Measuring a job on a real Slurm, choosing by what was measured, and keeping within Slurm's own limits."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_cluster import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live_cluster import LiveCluster

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
    import os, sys, time
    from mlcost_hpc.train import Run

    pause = {"t4": 0.2, "h100": 0.05}[os.environ["MLCOST_GPU_MODEL"]]
    with Run(os.environ["MLCOST_RUN_DIR"]) as run:
        for step in run.steps(int(sys.argv[1])):
            time.sleep(pause)
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mlcost(cluster: LiveCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The ``mlcost`` command in a folder with a program that is four times as fast on an H100."""
    (tmp_path / "train.py").write_text(textwrap.dedent(PROGRAM))
    rates = ROOT / "examples" / "demo" / "rates.toml"
    settings = tmp_path / "mlcost.toml"
    settings.write_text(f'[paths]\nrates = "{rates}"\nruns = "{tmp_path / "runs"}"\n')
    monkeypatch.setenv("MLCOST_CONFIG", str(settings))
    monkeypatch.setenv("MLCOST_STATE", str(tmp_path / "state"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlcost_hpc.cli.main", *words],
            capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def poor_account(cluster: LiveCluster) -> Iterator[str]:
    """An account whose jobs may have two GPUs and an hour."""
    limits = ("MaxTRESPerJob=gres/gpu=2", "MaxWall=01:00:00")
    none = ("MaxTRESPerJob=gres/gpu=-1", "MaxWall=-1")
    cluster.run("sacctmgr", "-i", "modify", "account", "vision", "set", *limits)
    yield "vision"
    cluster.run("sacctmgr", "-i", "modify", "account", "vision", "set", *none)


def test_a_calibrated_job_goes_where_it_costs_least(mlcost: Command) -> None:
    """Measured on two types, the same command is priced by that, and a variant needs one type only."""
    where = ("--gpus", "1", "--no-preemptible", "--gpu-type", "t4", "--gpu-type", "h100")
    train = ("--", sys.executable, "train.py")
    done = mlcost("calibrate", *where, "--time", "5m", "--wait", "--format", "json", *train, "40")
    assert done.returncode == 0, done.stderr
    speeds = {row["gpu_model"]: float(row["steps_per_second"]) for row in json.loads(done.stdout)}
    assert speeds["h100"] > 2 * speeds["t4"]

    again = mlcost("calibrate", *where, "--dry-run", "--format", "json", *train, "40")
    assert json.loads(again.stdout) == []
    assert "measured already" in again.stderr

    work = ("--work", "100000steps", "--format", "json")
    rows = json.loads(mlcost("estimate", *where, *work, *train, "40").stdout)
    assert {row["speed_source"] for row in rows} == {"calibration"}
    costs = {row["gpu_model"]: float(row["cost"]) for row in rows}
    prices = {row["gpu_model"]: float(row["per_hour"]) for row in rows}
    for gpu, cost in costs.items():
        assert cost == pytest.approx(prices[gpu] * 100_000 / speeds[gpu] / 3600, rel=0.1)

    variant = mlcost("estimate", *where, *work, *train, "41")
    assert variant.returncode == 2
    assert "one GPU type is enough" in variant.stderr


def test_what_the_account_forbids_slurm_forbids_too(
    mlcost: Command, poor_account: str, cluster: LiveCluster
) -> None:
    """Three GPUs are refused with the account's limit; Slurm lets them wait for ever for the same one."""
    refused = mlcost("submit", "--gpus", "3", "--account", poor_account, "--time", "10m", "--", "true")
    assert refused.returncode == 3
    assert "account vision allows a job 2 GPUs; this one takes 3. Possible with --gpus 2" in refused.stderr
    two = ("--gpus", "2", "--account", poor_account, "--time", "10m", "--dry-run")
    allowed = mlcost("submit", *two, "--", "true")
    assert allowed.returncode == 0, allowed.stderr
    three = ("-p", "a100", "--gres=gpu:a100:3", "--wrap=true")
    job = cluster.run("sbatch", "--parsable", "-A", poor_account, *three).strip()
    said = ("squeue", "-h", "-j", job, "-o", "%r")
    wait_for(lambda: "AssocMaxGRESPerJob" if "AssocMaxGRESPerJob" in cluster.run(*said) else "", 60, job)
