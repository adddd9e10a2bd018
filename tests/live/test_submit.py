"""Submitting on a real Slurm: preempted, cancelled, resumed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
import submitit
import submitit.helpers
from live_cluster import wait_for

from mlcost_hpc.launch.api import Executor

if TYPE_CHECKING:
    from live_cluster import LiveCluster

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]

STEPS = 300
TRAIN = (
    sys.executable, str(ROOT / "examples" / "train_digits.py"), "--steps", str(STEPS), "--seed", "3",
    "--step-time", "0.02", "--save-every", "1000",
)  # fmt: skip


class Site:
    """The ``mlcost`` command on the live cluster, its runs and index in a folder of the test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.settings = folder / "mlcost.toml"
        self.set("")
        monkeypatch.setenv("MLCOST_CONFIG", str(self.settings))
        monkeypatch.setenv("MLCOST_STATE", str(folder / "state"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def set(self, more: str) -> None:
        """Write the settings file, with more sections."""
        rates = ROOT / "examples" / "demo" / "rates.toml"
        self.settings.write_text(f'[paths]\nrates = "{rates}"\nruns = "{self.folder / "runs"}"\n{more}')

    def mlcost(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlcost_hpc.cli.main", *words],
            capture_output=True, text=True, timeout=120, check=False, cwd=self.folder,
        )  # fmt: skip

    def submit(self, *words: str) -> dict[str, Any]:
        done = self.mlcost("submit", "--format", "json", *words)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def attempts(self, job: str) -> list[dict[str, Any]]:
        done = self.mlcost("attempts", job, "--format", "json")
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))


@pytest.fixture
def site(cluster: LiveCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The command on the live cluster."""
    return Site(tmp_path, monkeypatch)


def log_of(job: dict[str, Any]) -> str:
    path = Path(job["log"])
    return path.read_text() if path.exists() else ""


def start_training(site: Site) -> dict[str, Any]:
    """A training on spot that has done a few steps."""
    job = site.submit("--gpus", "1", "--gpu-type", "h100", "--time", "30m", "--", *TRAIN)
    assert job["partition"] == "spot"
    wait_for(lambda: "yes" if "step 100 " in log_of(job) else "", 60, f"step 100 of {job['job_id']}")
    return job


def take_the_node(site: Site) -> None:
    site.submit("--gpus", "8", "--gpu-type", "h100", "--no-preemptible", "--time", "5m", "--", "sleep", "1")


def finished(job: dict[str, Any]) -> str:
    """The final line of a log, once there is one."""
    found = re.search(r"final loss .*", log_of(job))
    return found.group() if found else ""


@pytest.mark.parametrize(
    ("settings", "first_state"),
    [(("grace=20",), "REQUEUED"), (("grace=0",), "PREEMPTED"), (("grace=20", "user-signal=on"), "REQUEUED")],
    ids=["grace", "no grace", "user signal"],
)
def test_preempted_training_resumes_under_its_id_and_ends_the_same(
    site: Site, cluster: LiveCluster, settings: tuple[str, ...], first_state: str
) -> None:
    """A preempted training loses no step, keeps its job id, and ends like an undisturbed run."""
    with cluster.settings(*settings):
        job = start_training(site)
        take_the_node(site)
        result = wait_for(lambda: finished(job), 120, f"the end of {job['job_id']}")
    cluster.wait_state(job["job_id"], "COMPLETED")
    first, second = site.attempts(job["job_id"])
    assert (first["state"], first["reason"], first["lost_steps"]) == (first_state, "preempted", 0)
    assert (second["state"], second["last_step"]) == ("COMPLETED", STEPS)
    assert second["first_step"] == first["last_step"]
    undisturbed = subprocess.run(
        TRAIN, capture_output=True, text=True, check=True, cwd=site.folder, timeout=120
    ).stdout
    assert result in undisturbed


def test_qos_decides_who_is_preempted_and_the_launcher_knows(site: Site, cluster: LiveCluster) -> None:
    """By default QOS a job yields to QOS high, whatever the partition; it is told so, and comes back."""
    with cluster.settings("preempt=qos"):
        rows = json.loads(site.mlcost("offers", "--format", "json").stdout)
        assert {(row["qos"], row["preempt_mode"], row["grace_time_s"]) for row in rows} == {
            ("normal", "REQUEUE", 20)
        }
        where = ("--gpus", "1", "--gpu-type", "h100", "--time", "30m")
        said = site.mlcost("submit", *where, "--explain", "--dry-run", "--", "true").stdout
        by_whom = "jobs of QOS normal can be preempted by those of high (requeue, 20 s of grace)"
        assert by_whom in " ".join(said.split())
        refused = site.mlcost("submit", *where, "--no-preemptible", "--dry-run", "--", "true")
        assert refused.returncode == 3
        assert "jobs in QOS normal can be preempted" in refused.stderr
        assert refused.stderr.endswith("Possible with --preemptible or --qos high\n")

        job = start_training(site)
        taker = site.submit(
            "--gpus", "8", "--gpu-type", "h100", "--qos", "high", "--no-preemptible", "--time", "5m",
            "--", "sleep", "1",
        )  # fmt: skip
        assert (job["preemptible"], taker["preemptible"]) == (True, False)
        wait_for(lambda: finished(job), 120, f"the end of {job['job_id']}")
        cluster.wait_state(job["job_id"], "COMPLETED")
    first, second = site.attempts(job["job_id"])
    assert (first["reason"], first["lost_steps"], second["last_step"]) == ("preempted", 0, STEPS)
    assert second["first_step"] == first["last_step"]
    assert "stop 1:   preempted" in site.mlcost("why", job["job_id"]).stdout
    rows = json.loads(site.mlcost("status", "--format", "json").stdout)
    [row] = [row for row in rows if row["job_id"] == job["job_id"]]
    assert (row["state"], row["runs"]) == ("COMPLETED", 2)


def test_cancelled_training_is_not_requeued(site: Site, cluster: LiveCluster) -> None:
    """Scancel is the user's word: the training saves, and stays cancelled."""
    job = start_training(site)
    cluster.run("scancel", job["job_id"])
    cluster.wait_state(job["job_id"], "CANCELLED")
    requeues = Path(job["run_dir"]) / "requeues.log"
    wait_for(lambda: "yes" if requeues.exists() else "", 30, "the script's word")
    assert "left to Slurm" in requeues.read_text()
    assert [attempt["state"] for attempt in site.attempts(job["job_id"])] == ["CANCELLED"]


def test_function_gives_its_result_to_submitit(site: Site, cluster: LiveCluster) -> None:
    """module:function runs on the cluster, and submitit reads its result."""
    (site.folder / "work.py").write_text("def answer():\n    return 42\n")
    job = site.submit("--time", "5m", "work:answer")
    assert submitit.SlurmJob(folder=job["run_dir"], job_id=job["job_id"]).result() == 42


def test_array_above_the_sites_limit_is_sent_in_parts(site: Site, cluster: LiveCluster) -> None:
    """1,500 tasks where Slurm takes 1,001 at a time are two arrays; each task has its pickle."""
    executor = Executor(site.folder / "runs")
    executor.update_parameters(timeout_min=5, slurm_additional_parameters={"begin": "now+1hour"})
    jobs = executor.map_array(len, [[]] * 1500)
    arrays = cluster.run("squeue", "--me", "--noheader", "--format=%K").split()
    assert sorted(arrays) == ["0-1000", "0-498"]
    assert len({job.job_id for job in jobs}) == 1500
    assert jobs[1001].job_id.endswith("_0")
    assert all(job.paths.submitted_pickle.exists() for job in jobs)


def test_controller_that_answers_too_late_gets_one_job(
    site: Site, cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When sbatch is given up and slurmctld takes the job later, it is found and not doubled."""
    real, folder = shutil.which("sbatch"), site.folder / "bin"
    folder.mkdir()
    etc = cluster.environment()["SLURM_CONF"]
    pid = cluster.run("pgrep", "-f", f"^[^ ]*slurmctld -D -f {etc}").strip()
    (folder / "sbatch").write_text(
        f"#!/bin/bash\nrm {folder}/sbatch; kill -STOP {pid}\n"  # this time only
        f'setsid bash -c "sleep 4; kill -CONT {pid}" > /dev/null 2>&1 &\nexec {real} "$@"\n'
    )
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    site.set("[slurm]\ntimeout_s = 2\n")
    name = f"late-{os.getpid()}"  # Slurm remembers those of an earlier session
    job = site.submit("--time", "5m", "--job-name", name, "--", "true")
    cluster.wait_state(job["job_id"], "COMPLETED")
    words = ("squeue", "--me", "--noheader", "--states=all", f"--name={name}", "--format=%i")
    assert cluster.run(*words).split() == [job["job_id"]]


def test_unknown_account_is_told_before_sbatch_is_called(site: Site) -> None:
    """An account that the user is not in: nothing fits, in one line with those there are, exit code 3."""
    done = site.mlcost("submit", "--account", "nobody", "--", "true")
    assert done.returncode == 3
    assert "not in account nobody" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_refusal_is_told_in_sbatchs_words(site: Site) -> None:
    """What sbatch refuses is its own complaint, in one line, exit code 1."""
    script = site.folder / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH --time=5 --dependency=afterok:nonsense\ntrue\n")
    done = site.mlcost("submit", str(script))
    assert done.returncode == 1
    assert "dependency" in done.stderr.lower()
    assert len(done.stderr.splitlines()) == 1


def test_hostile_job_name_arrives_unchanged(site: Site, cluster: LiveCluster) -> None:
    """A name with quotes, blanks, backslashes and shell code is just a name."""
    name = 'it\'s "a" \\ $(touch pwned) `id` #x'
    job = site.submit("--time", "5m", "--job-name", name, "--", "true")
    said = cluster.run("squeue", "--noheader", "--states=all", f"--jobs={job['job_id']}", "--Format=Name:200")
    assert said.strip() == name
    assert not list(site.folder.rglob("pwned"))


def test_deadline_moves_a_preempted_job_to_the_guaranteed_partition(site: Site, cluster: LiveCluster) -> None:
    """With no room for another preemption before the deadline, the requeued job is moved from spot, once."""
    work = ("--work", "0.005h@h100", "--time", "30m")
    job = site.submit("--gpus", "1", "--gpu-type", "h100", "--deadline", "10m", *work, "--", *TRAIN)
    assert job["partition"] == "spot"
    plan = Path(job["run_dir"]) / "deadline.json"
    tight = json.loads(plan.read_text())
    # As if the queue of the guaranteed partition were long: then there is no room for another try on spot.
    plan.write_text(json.dumps({**tight, "sure_wait_s": 600.0}))
    wait_for(lambda: "yes" if "step 100 " in log_of(job) else "", 60, f"step 100 of {job['job_id']}")
    take_the_node(site)
    wait_for(lambda: finished(job), 120, f"the end of {job['job_id']}")
    cluster.wait_state(job["job_id"], "COMPLETED")
    first, second = site.attempts(job["job_id"])
    assert (first["partition"], second["partition"]) == ("spot", "h100")
    assert second["first_step"] == first["last_step"]
    assert "to be moved to h100 by job " in (Path(job["run_dir"]) / "requeues.log").read_text()


class Counter:
    """A function with submitit's checkpoint method: counts, and goes on where it was."""

    def __init__(self, done: int = 0) -> None:
        self.done = done

    def __call__(self, wanted: int, started: str) -> tuple[int, str, str]:
        Path(started).touch()
        while self.done < wanted:
            time.sleep(0.05)
            self.done += 1
        return self.done, os.environ["SLURM_JOB_PARTITION"], os.environ["MLCOST_PRICE_PER_HOUR"]

    def checkpoint(self, *words: Any) -> submitit.helpers.DelayedSubmission:
        return submitit.helpers.DelayedSubmission(Counter(self.done), *words)


def test_deadline_moves_functions_and_array_tasks_too(site: Site, cluster: LiveCluster) -> None:
    """Of functions without a record nothing counts as done: they go on in the guaranteed partition."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # jobs cannot import a test module
    executor = Executor(site.folder / "functions")
    executor.update_parameters(
        gpus_per_node=1, gpu_types=["h100"], cpus_per_task=1, mem_gb=0.5, timeout_min=5,
        work="0.01h@h100", deadline_min=5,
    )  # fmt: skip
    marks = [site.folder / f"started-{name}" for name in range(3)]
    jobs = [executor.submit(Counter(), 150, str(marks[0]))]
    jobs += executor.map_array(Counter(), [150] * 2, [str(mark) for mark in marks[1:]])
    price = executor.last.best.per_hour if executor.last else 0
    wait_for(lambda: "yes" if all(mark.exists() for mark in marks) else "", 60, "the start of all")
    take_the_node(site)
    for job in jobs:
        done, partition, paid = job.result()
        assert (done, partition) == (150, "h100")
        assert Decimal(paid) > price
