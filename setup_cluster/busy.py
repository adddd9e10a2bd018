"""Makes a virtual cluster busy with one job of every kind whose records can differ.

Used by the recorder and by the contract suite. What is known to be true of each job is returned, so that
tests can demand it of the answers.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).resolve().parent / "cluster"

HOSTILE_NAME = 'a|b;\x1fc\n9999\x1fx "quoted" $(id) =1+1 ümlaut'
HOSTILE_COMMENT = "team=vision;note=first line\nsecond line, with a comma"
HOSTILE_REASON = "fan broken State=IDLE Gres=gpu:a100:99 CPUTot=1"

_WAIT_S = 150.0


class BusyError(Exception):
    """The cluster cannot be made busy; the message says at which step."""


@dataclass
class Cluster:
    """A cluster that is up, and how commands reach it."""

    name: str
    jobs: dict[str, str] = field(default_factory=dict)

    def run(self, *argv: str, **environment: str) -> str:
        """Return what a command prints inside the cluster; it must succeed."""
        settings = [f"{name}={value}" for name, value in environment.items()]
        done = self.attempt("env", *settings, *argv)
        if done.returncode != 0:
            raise BusyError(f"{shlex.join(argv)}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside the cluster, which may fail."""
        words = [str(PROGRAM), "exec", self.name, "--", *argv]
        return subprocess.run(words, capture_output=True, check=False, cwd="/tmp")

    def submit(self, label: str, *options: str, command: str = "sleep 900") -> str:
        """Submit a job under a label; return its id."""
        words = ("--parsable", "--output=/dev/null", "--time=30", f"--job-name={label}", *options)
        return self.sbatch(label, *words, f"--wrap={command}")

    def sbatch(self, label: str, *words: str) -> str:
        """Submit a job with these words, in an account that the site knows; return its id."""
        self.jobs[label] = self.run("sbatch", *words, SBATCH_ACCOUNT="nlp").strip().split(";")[0]
        return self.jobs[label]

    def node_is_up(self, name: str) -> bool:
        """Tell whether a node takes jobs; resume it when it is down."""
        state = self.run("sinfo", "--noheader", f"--nodes={name}", "--format=%T").split()[0]
        if state.startswith("down"):
            # It may come back by itself at this moment (ReturnToService), and then cannot be resumed.
            self.attempt("scontrol", "update", f"node={name}", "state=resume")
        return not state.startswith(("down", "drain"))

    def states(self, label: str) -> list[str]:
        """Return the states of a job's tasks or components, as the controller knows them."""
        return self.run(
            "squeue", "--noheader", "--array", "--states=all", f"--jobs={self.jobs[label]}", "--format=%T"
        ).split()

    def wait(self, label: str, *wanted: str) -> None:
        """Wait until every task of a job is in one of these states."""
        wait_for(lambda: set(self.states(label)) <= set(wanted), f"{label} {wanted}: {self.states(label)}")


def wait_for(done: Callable[[], bool], what: str) -> None:
    """Ask until it is so.

    Raises:
        BusyError: it takes too long.
    """
    deadline = time.monotonic() + _WAIT_S
    while not done():
        if time.monotonic() > deadline:
            raise BusyError(f"not within {_WAIT_S:g} s: {what}")
        time.sleep(0.3)


def make_busy(cluster: Cluster) -> dict[str, str]:
    """Submit the jobs, bring each into its state, and return label -> job id."""
    _finished(cluster)
    _requeued(cluster)
    _running(cluster)
    _pending(cluster)
    cluster.wait("preempted", "RUNNING")
    cluster.run("scontrol", "update", "node=cpu-2", "state=drain", f"reason={HOSTILE_REASON}")
    wait_for(lambda: "REQUEUED" in _booked(cluster, "requeued"), "slurmdbd knows of the requeue")
    wait_for(lambda: "PENDING" in _booked(cluster, "too-big-now"), "slurmdbd knows of the job that waits")
    return cluster.jobs


def begin_timeout(cluster: Cluster) -> None:
    """Submit a job that will run into its limit; the shortest limit of Slurm is a minute."""
    cluster.submit("timeout", "--partition=cpu", "--time=1")


def wait_for_timeout(cluster: Cluster) -> None:
    """Wait until that job has been stopped and accounting knows."""
    cluster.wait("timeout", "TIMEOUT")
    wait_for(lambda: "TIMEOUT" in _booked(cluster, "timeout"), "slurmdbd knows of the timeout")


def make_quiet(cluster: Cluster) -> None:
    """Cancel every job and give the drained node back."""
    cluster.run("scancel", "--quiet", "--state=PENDING")
    cluster.run("scancel", "--quiet", "--state=RUNNING")
    cluster.run("scontrol", "update", "node=cpu-2", "state=resume")


def _finished(cluster: Cluster) -> None:
    cluster.submit("completed", "--partition=cpu", "--ntasks=2", command="true")
    cluster.submit("failed", "--partition=cpu", command="exit 3")
    cluster.submit("cancelled", "--partition=t4", "--gres=gpu:t4:1")
    cluster.submit("hostile", "--partition=cpu", f"--job-name={HOSTILE_NAME}", f"--comment={HOSTILE_COMMENT}")
    cluster.submit("cancelled-pending", "--partition=cpu", "--begin=now+1hour")
    cluster.wait("cancelled", "RUNNING")
    cluster.run("scancel", cluster.jobs["cancelled"], cluster.jobs["cancelled-pending"])


def _requeued(cluster: Cluster) -> None:
    # The spot job fills the node, so the node's own partition has to preempt it.
    cluster.submit("preempted", "--partition=spot", "--gres=gpu:h100:8", "--requeue")
    cluster.submit("requeued", "--partition=cpu", "--requeue")
    cluster.submit("node-failed", "--partition=spot", "--gres=gpu:t4:4", "--nodelist=t4-2", "--requeue")
    for label in ("preempted", "requeued", "node-failed"):
        cluster.wait(label, "RUNNING")
    cluster.submit("preemptor", "--partition=h100", "--gres=gpu:h100:8", command="sleep 1")
    cluster.run("scontrol", "requeue", cluster.jobs["requeued"])
    cluster.run("scontrol", "update", "node=t4-2", "state=down", "reason=test")
    cluster.wait("node-failed", "PENDING")
    wait_for(lambda: cluster.node_is_up("t4-2"), "t4-2 is up")
    cluster.wait("preemptor", "COMPLETED", "COMPLETING")


def _running(cluster: Cluster) -> None:
    cluster.submit("two-types", "--partition=mixed", "--gres=gpu:v100:1,gpu:t4:2")
    cluster.submit("two-nodes", "--partition=a100", "--nodes=2", "--gres=gpu:a100:4", "--account=vision")
    cluster.submit("array", "--partition=cpu", "--array=0-5%2", "--ntasks=1")
    het = Path("/tmp") / f"mlcost-het-{os.getpid()}.sh"
    het.write_text(
        "#!/bin/sh\n#SBATCH --partition=cpu --ntasks=1 --time=30 --output=/dev/null --job-name=het\n"
        "#SBATCH hetjob\n#SBATCH --partition=t4 --ntasks=1 --gres=gpu:t4:1\nsleep 900\n"
    )
    try:
        cluster.sbatch("het", "--parsable", str(het))
    finally:
        het.unlink()
    cluster.submit("suspended", "--partition=cpu")
    for label in ("two-types", "two-nodes", "het", "suspended"):
        cluster.wait(label, "RUNNING")
    cluster.run("scontrol", "suspend", cluster.jobs["suspended"])
    time.sleep(3)  # the length of the suspension, to be found in its record
    cluster.run("scontrol", "resume", cluster.jobs["suspended"])


def _pending(cluster: Cluster) -> None:
    cluster.submit("held", "--partition=cpu", "--hold")
    cluster.submit("too-big-now", "--partition=h100,a100", "--gres=gpu:8", "--nodes=2", "--ntasks=2")
    cluster.submit("dependent", "--partition=cpu", f"--dependency=afterok:{cluster.jobs['two-types']}")


def _booked(cluster: Cluster, label: str) -> str:
    """Return the states under which accounting has a job's runs."""
    words = ("--allocations", "--duplicates", "--noheader", "--parsable2", "--format=State")
    return cluster.run("sacct", *words, f"--jobs={cluster.jobs[label]}")
