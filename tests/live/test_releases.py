"""The launcher on the other Slurm releases: every kind of job, and a deadline that moves one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.faults import PROGRAM, Lab, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

RELEASES = ("24.11", "26.05")

# Leaves with 85 when it is told to stop, and at once with 0 when it runs again.
TRAINEE = """
trap 'exit 85' TERM USR2
echo "$SLURM_JOB_PARTITION $MLCOST_PRICE_PER_HOUR $MLCOST_GRACE_S" >> "$MLCOST_RUN_DIR/seen"
[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && exit 0
for _ in {1..600}; do sleep 0.1 & wait $!; done
"""
WORK = "import os\n\n\ndef square(x=4):\n    return x * x, os.environ['SLURM_JOB_PARTITION']\n"
EXECUTOR = """
import sys
sys.path.insert(0, ".")
from mlcost_hpc.launch.api import Executor
from work import square
executor = Executor("array/%j")
executor.update_parameters(timeout_min=5, cpus_per_task=1, mem_gb=0.2)
print([job.result()[0] for job in executor.map_array(square, range(3))])
"""


@pytest.fixture(scope="module", params=RELEASES)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A cluster of one release with the product inside."""
    name = f"release-{request.param.replace('.', '')}"
    settings = ("--grace", "20", "--kill-wait", "10", "--cred-expire", "5")
    subprocess.run([PROGRAM, "up", name, "--slurm", request.param, *settings], check=True, timeout=900)
    try:
        made = Lab(name, tmp_path_factory.mktemp(name))
        if made.call([made.python, "-c", "import mlcost_hpc"]).returncode != 0:
            subprocess.run([PROGRAM, "install", name], check=True, timeout=600)
        (made.folder / "work.py").write_text(WORK)
        yield made
    finally:
        subprocess.run([PROGRAM, "down", name, "--purge"], check=True, timeout=120)


def submit(lab: Lab, *words: str) -> dict[str, str]:
    return dict(json.loads(lab.mlcost("submit", "--cpus", "1", "--mem", "200M", "--format", "json", *words)))


def state(lab: Lab, job: dict[str, str]) -> str:
    return lab.run("squeue", "-h", "-t", "all", "-j", job["job_id"], "-o", "%T")


def test_a_deadline_moves_a_preempted_job(lab: Lab) -> None:
    """Without time for another preemption the job goes on in the guaranteed partition, at its price."""
    options = ("--gpus", "1", "--gpu-type", "h100", "--time", "5m")
    deadline = ("--work", "0.01h@h100", "--deadline", "5m")
    job = submit(lab, *options, *deadline, "--", "bash", "-c", TRAINEE)
    assert job["partition"] == "spot"
    seen = Path(job["run_dir"]) / "seen"
    wait_for(seen.exists, "the job's start")
    submit(lab, "--gpus", "8", "--gpu-type", "h100", "--no-preemptible", "--time", "1m", "--", "true")
    wait_for(lambda: state(lab, job) == "COMPLETED", "the job's end")
    first, second = (line.split() for line in seen.read_text().splitlines())
    assert (first[0], second[0]) == ("spot", "h100")
    assert float(first[1]) < float(second[1])
    assert (first[2], second[2]) == ("20", "0")
    assert "to be moved to h100 by job " in (Path(job["run_dir"]) / "requeues.log").read_text()


def test_functions_arrays_and_own_scripts_run(lab: Lab) -> None:
    """A function's result is there, an array's in order, and a script of one's own has its arguments."""
    script = lab.folder / "job.sh"
    script.write_text('#!/bin/bash\n#SBATCH --output=own.log\necho "$SLURM_JOB_NAME $*"\n')
    own = submit(lab, "--time", "5m", str(script), "a b")
    function = submit(lab, "--time", "5m", "work:square")
    assert lab.run(lab.python, "-c", EXECUTOR) == "[0, 1, 4]"
    wait_for(lambda: state(lab, own) == state(lab, function) == "COMPLETED", "the end of both")
    assert (lab.folder / "own.log").read_text() == "job a b\n"
    assert Path(function["run_dir"], f"{function['job_id']}_0_result.pkl").exists()
