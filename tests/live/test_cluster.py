"""The virtual cluster itself: up, down, crashes, preemption, several at once, other Slurm versions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_cluster import PROGRAM, LiveCluster, wait_for
from virtual_cluster.layout import home_folder, layout_of
from virtual_cluster.processes import of_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtual_cluster.layout import Layout

pytestmark = pytest.mark.live

# Deaf to the warning: what leaves within the grace time would count as complete on 22.05.
TRAINING = "srun sh -c 'trap \"\" TERM; echo begins; while :; do sleep 0.2; done'"


def folder(live: LiveCluster) -> Layout:
    return layout_of(home_folder(os.environ), live.name)


def daemons(live: LiveCluster) -> dict[str, str]:
    """The daemons' processes: id and start time by name."""
    found = {file.name: file.read_text() for file in folder(live).run.glob("*.pid")}
    assert len(found) == 12
    return found


def inside(live: LiveCluster, *argv: str, check: bool = True) -> str:
    """What a command prints inside a cluster, whatever its Slurm."""
    done = subprocess.run(
        [PROGRAM, "exec", live.name, "--", *argv], capture_output=True, text=True, cwd="/tmp", check=False
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def submit(live: LiveCluster, *options: str, script: str) -> str:
    return inside(live, "sbatch", "--parsable", *options, "--wrap", script)


def runs(live: LiveCluster, job: str) -> list[str]:
    """The states of a job's runs, oldest first, as accounting has them."""
    text = inside(live, "sacct", "-D", "-X", "-n", "-P", "-j", job, "-o", "Submit,State")
    return [line.split("|")[1].split()[0] for line in sorted(text.splitlines())]


def wait_running(live: LiveCluster, job: str) -> None:
    wait_for(
        lambda: "y" if inside(live, "squeue", "-h", "-j", job, "-o", "%T", check=False) == "RUNNING" else "",
        60,
        f"{job} runs",
    )


def preempt_and_let_it_run_again(live: LiveCluster, output: Path) -> None:
    """A spot job on all of h100-1 yields to a job of the node's own partition, and runs again after it."""
    job = submit(
        live, "-p", "spot", "-w", "h100-1", "--gres=gpu:h100:8", "--requeue", "--open-mode=append",
        f"--output={output}", script=TRAINING,
    )  # fmt: skip
    wait_for(lambda: output.read_text() if output.exists() else "", 60, "the first run begins")
    other = submit(live, "-p", "h100", "--gres=gpu:h100:1", "--output=/dev/null", script="sleep 1")
    wait_for(lambda: "y" if output.read_text().count("begins") == 2 else "", 90, "the second run begins")
    assert runs(live, other) == ["COMPLETED"]
    wait_for(lambda: "y" if runs(live, job) == ["PREEMPTED", "RUNNING"] else "", 20, "both runs are recorded")
    inside(live, "scancel", job)


@pytest.fixture(scope="module")
def purged(session_cluster: LiveCluster) -> Iterator[LiveCluster]:
    """A cluster of this module's own, removed with its last test."""
    live = LiveCluster(f"{session_cluster.name}-own")
    yield live
    live.program("down", "--purge")
    assert not folder(live).folder.exists()


@pytest.fixture
def own(purged: LiveCluster) -> LiveCluster:
    """The module's own cluster, up with an empty queue."""
    purged.program("up")
    inside(purged, "scancel", "--state=RUNNING")
    return purged


@pytest.fixture(params=["24.11", "26.05"])
def other(request: pytest.FixtureRequest, session_cluster: LiveCluster) -> Iterator[LiveCluster]:
    """A cluster of another Slurm than this machine's may be, removed afterwards."""
    live = LiveCluster(f"{session_cluster.name}-{request.param.replace('.', '')}")
    live.program("up", f"--slurm={request.param}", "--grace=0", "--kill-wait=1")
    yield live
    live.program("down", "--purge")


def test_a_preempted_job_runs_again_and_both_runs_are_recorded(cluster: LiveCluster, tmp_path: Path) -> None:
    """The preempted run stays in accounting as PREEMPTED, and the same job id runs again."""
    with cluster.settings("grace=0", "kill-wait=1"):
        preempt_and_let_it_run_again(cluster, tmp_path / "training.out")


def test_everything_listens_on_loopback_only(cluster: LiveCluster) -> None:
    """No daemon of the cluster can be reached from another machine."""
    mine = {identity.pid for identity in of_cluster(folder(cluster))}
    sockets = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
    addresses = [
        line.split()[4]
        for line in sockets.splitlines()
        if mine & {int(pid) for pid in re.findall(r"pid=(\d+)", line)}
    ]
    assert len(addresses) >= 10
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_up_on_a_running_cluster_changes_nothing(cluster: LiveCluster) -> None:
    """A second `up` leaves every process as it is."""
    before = daemons(cluster)
    cluster.program("up")
    assert daemons(cluster) == before


def test_a_user_of_the_site_runs_jobs_of_her_accounts_only(cluster: LiveCluster) -> None:
    """Accounting knows the site's users, and Slurm refuses an account that is not theirs."""
    said = cluster.run(
        "srun",
        "--quiet",
        "--account=vision",
        "--partition=cpu",
        "id",
        "-un",
        user="mlc-ana",
        cwd=Path("/tmp"),
    )
    assert said == "mlc-ana\n"
    with pytest.raises(AssertionError, match="Invalid account"):
        cluster.run("srun", "--account=robotics", "--partition=cpu", "true", user="mlc-ana", cwd=Path("/tmp"))


def test_each_gpu_has_its_number(cluster: LiveCluster) -> None:
    """On the node with two types each type has devices of its own, and accounting counts them by type."""
    shown = [
        inside(
            cluster,
            "srun",
            "--quiet",
            "-p",
            "mixed",
            f"--gres=gpu:{kind}",
            "sh",
            "-c",
            "echo $CUDA_VISIBLE_DEVICES",
        )
        for kind in ("v100:2", "t4:4")
    ]
    assert shown == ["0,1", "2,3,4,5"]
    kinds = inside(cluster, "sacctmgr", "-n", "-P", "show", "tres", "format=name")
    assert {"gpu:v100", "gpu:t4", "gpu:a100", "gpu:h100"} <= set(kinds.splitlines())


def test_down_leaves_no_process_and_up_begins_with_an_empty_queue(own: LiveCluster) -> None:
    """Running jobs, also what they detached, end with the cluster; accounting says they were cancelled."""
    job = submit(own, "-p", "cpu", "--output=/dev/null", script=f"setsid sleep {_SECONDS} & sleep {_SECONDS}")
    waiting = submit(own, "-p", "cpu", "--begin=now+1hour", "--output=/dev/null", script="true")
    wait_running(own, job)
    wait_for(lambda: "y" if len(_sleepers()) == 2 else "", 10, "the job's processes")
    own.program("down")
    assert of_cluster(folder(own)) == set()
    assert _sleepers() == []
    own.program("up")
    assert inside(own, "squeue", "-h") == ""
    assert (runs(own, job), runs(own, waiting)) == (["CANCELLED"], ["CANCELLED"])


# Of this session only: another one may be at the same test.
_SECONDS = 100_000 + os.getpid()


def _sleepers() -> list[str]:
    found = subprocess.run(
        ["pgrep", "-f", f"^sleep {_SECONDS}$"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_up_after_a_crash(own: LiveCluster) -> None:
    """Whatever is killed, and with lying pid files, `up` makes the cluster whole; a job goes on."""
    job = submit(own, "-p", "cpu", "--output=/dev/null", script="sleep 4712")
    wait_running(own, job)
    files = sorted(folder(own).run.glob("*.pid"))
    assert len(files) == 12
    for file in files:
        os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
        file.write_text(f"{os.getpid()} 1\n")
    own.program("up")
    own.program("status")
    wait_running(own, job)
    before = daemons(own)
    for file in files:
        file.unlink()
    own.program("up")
    assert daemons(own) == before


def test_a_daemon_that_fails_shows_its_own_words(own: LiveCluster) -> None:
    """When a daemon does not start, its log's last lines are in the error."""
    own.program("down")
    data = folder(own).database / "ibdata1"
    kept = data.rename(data.with_name("kept"))
    data.write_bytes(b"\0" * 1024)
    done = subprocess.run([PROGRAM, "up", own.name], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mariadb has ended" in done.stderr
    assert "ibdata1" in done.stderr
    kept.replace(data)


def test_clusters_side_by_side_do_not_touch_each_other(cluster: LiveCluster, own: LiveCluster) -> None:
    """Two clusters have their own jobs, and one goes down without the other noticing."""
    job = submit(own, "-p", "cpu", "--output=/dev/null", script="sleep 60")
    wait_running(own, job)
    assert own.name not in cluster.run("scontrol", "show", "config")
    assert inside(cluster, "squeue", "-h", "-o", "%i") == ""
    before = daemons(cluster)
    own.program("down")
    assert daemons(cluster) == before
    cluster.program("status")


def test_other_versions_preempt_and_leave_no_mount(other: LiveCluster) -> None:
    """Another Slurm runs in a root folder: same site, same preemption, nothing mounted on the machine."""
    assert inside(other, "sinfo", "--version").replace(".", "").startswith(f"slurm-wlm {other.name[-4:]}")
    output = Path("/tmp") / f"{other.name}.out"
    output.unlink(missing_ok=True)
    preempt_and_let_it_run_again(other, output)
    output.unlink()
    assert "mlcost/roots" not in Path("/proc/mounts").read_text()
    other.program("down")
    assert of_cluster(folder(other)) == set()
