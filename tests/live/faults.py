"""Faults injected into real jobs, and what each costs: used by the live tests and by the table of benchmarks.

A :class:`Lab` is a running cluster and a folder for the jobs of its trials. Trials run beside each other in
threads; each takes a place (GPUs of one node) for itself, so that preempting one job touches no other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.live.fault_odometer import Loss, Step, find_loss, read_steps

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "setup_cluster" / "cluster"
HERE = Path(__file__).resolve().parent
PATIENCE_S = 240.0
"""How long an event is waited for; generous, for the machine may be busy."""

Edit = Callable[[str], str]
"""A batch script -> the same with one thing changed."""


class Kind(NamedTuple):
    """GPUs of one kind that fill a node: jobs that take all of them have a node each."""

    type: str
    gpus: int
    places: int


KINDS = (Kind("h100", 8, 1), Kind("a100", 8, 2), Kind("t4", 4, 2), Kind("v100", 2, 1))
PARTITIONS = {"h100-1": "h100", "a100-1": "a100", "a100-2": "a100", "t4-1": "t4", "t4-2": "t4"}


class TrialError(AssertionError):
    """Something that a trial waited for did not happen."""


def wait_for(ask: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> object:
    """Ask until the answer is true; return it.

    Raises:
        TrialError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise TrialError(f"not within {seconds:.0f} s: {what}")


class _Node(NamedTuple):
    """Processes on a node: Slurm's own (slurmd, the managers of the job's steps), and the job's."""

    slurm: set[int]
    tasks: set[int]


def _node_processes(etc: str, node: str, job_id: str) -> _Node:
    """Return the processes of a node of the cluster whose configuration is in ``etc``."""
    found = _Node(set(), set())
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            words = (entry / "cmdline").read_bytes().split(b"\0") if environment else []
        except OSError:
            continue
        if not any(word.startswith(f"SLURM_CONF={etc}/".encode()) for word in environment):
            continue
        if words[1:4] == [b"-D", b"-N", node.encode()]:
            found.slurm.add(int(entry.name))
        elif {f"SLURMD_NODENAME={node}".encode(), f"SLURM_JOB_ID={job_id}".encode()} <= set(environment):
            found.tasks.add(int(entry.name))
    # The managers have no environment of their own to be known by on every release; their children have.
    found.slurm.update(filter(_is_manager, {_parent(pid) for pid in found.tasks}))
    return _Node(found.slurm, found.tasks - found.slurm)


def _parent(pid: int) -> int:
    """Return a process's parent; 0 = it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _is_manager(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd: [")
    except OSError:
        return False


class Places:
    """Hands out nodes; who takes one has it to himself."""

    def __init__(self) -> None:
        self._free = {kind: kind.places for kind in KINDS}
        self._changed = threading.Condition()

    @contextmanager
    def take(self, nodes: int = 1) -> Iterator[Kind]:
        """Wait for so many nodes of one kind, give the kind, and return them at the end."""
        with self._changed:
            kind = self._changed.wait_for(lambda: self._find(nodes))
            assert kind is not None
            self._free[kind] -= nodes
        try:
            yield kind
        finally:
            with self._changed:
                self._free[kind] += nodes
                self._changed.notify_all()

    def _find(self, nodes: int) -> Kind | None:
        return next((kind for kind, free in self._free.items() if free >= nodes), None)


class SmallDisk(NamedTuple):
    """A file system that is soon full: its path for jobs, and for the test."""

    inside: Path
    outside: Path


class Lab:
    """A running cluster, the product's command on it, and a folder for the files of trials.

    Args:
        name: the cluster.
        folder: where everything goes; below /tmp, which clusters in root folders see as well.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.trainee = str(HERE / "fault_trainee.py")
        self.places = Places()
        # Who starts what was killed starts it all, and waits for every node: one trial at a time.
        self.breaking = threading.Lock()
        said = subprocess.run([PROGRAM, "env", name], capture_output=True, text=True, check=False)
        pairs = [line.removeprefix("export ").partition("=") for line in said.stdout.splitlines()]
        self._is_inside = said.returncode != 0
        self.python = "python" if self._is_inside else sys.executable
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))},
            **{key: value.strip("'") for key, _, value in pairs},
            "MLCOST_CONFIG": str(folder / "mlcost.toml"),
            "MLCOST_STATE": str(folder / "state"),
            "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1",  # the nodes' names mean nothing to this machine's resolver
            "PYTHONPATH": str(ROOT),
        }
        rates = ROOT / "examples" / "demo" / "rates.toml"
        (folder / "mlcost.toml").write_text(f'[paths]\nrates = "{rates}"\nruns = "{folder / "runs"}"\n')

    def call(self, argv: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the cluster; ``more`` is added to its environment."""
        words = [str(PROGRAM), "exec", self.name, "--", *argv] if self._is_inside else list(argv)
        environment = self.environment | more
        return subprocess.run(
            words, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=self.folder
        )

    def run(self, *argv: str, **more: str) -> str:
        """Return what a command prints.

        Raises:
            TrialError: it failed.
        """
        done = self.call(argv, **more)
        if done.returncode != 0:
            raise TrialError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def mlcost(self, *words: str, **more: str) -> str:
        """Return what the product's command prints."""
        return self.run(self.python, "-m", "mlcost_hpc.cli.main", *words, **more)

    def crash(self, node: str, job_id: str) -> None:
        """Kill every process of a node with signal 9: slurmd, the managers of the job's steps, the tasks."""
        self._kill(node, job_id, with_tasks=True)

    def cut_off(self, node: str, job_id: str) -> None:
        """Kill what Slurm has on a node, so that the job's own processes live on without it."""
        self._kill(node, job_id, with_tasks=False)

    def _kill(self, node: str, job_id: str, *, with_tasks: bool) -> None:
        conf = self.run("printenv", "SLURM_CONF")
        found = _node_processes(str(Path(conf).parent), node, job_id)
        # Slurm's own first: a manager that sees its task die would report it.
        for pid in [*found.slurm, *(found.tasks if with_tasks else ())]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_nodes(self) -> None:
        """Start what was killed, and wait until every node takes jobs."""
        done = subprocess.run([PROGRAM, "up", self.name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise TrialError(done.stdout + done.stderr)

    @contextmanager
    def patient_partition(self, grace_s: int) -> Iterator[str]:
        """A partition like spot for one trial, with a grace time of its own, seconds."""
        words = self.run("scontrol", "show", "partition", "spot", "--oneliner").split()
        spot = dict(word.split("=", 1) for word in words if "=" in word)
        name = "patient"
        kept = [f"{key}={spot[key]}" for key in ("Nodes", "PriorityTier", "PreemptMode", "MaxTime")]
        self.run("scontrol", "create", f"PartitionName={name}", f"GraceTime={grace_s}", *kept)
        try:
            yield name
        finally:
            # Not where a failed trial left its job there: that is not what is to be told.
            self.call(("scontrol", "delete", f"PartitionName={name}"))

    @contextmanager
    def small_disk(self, size: str) -> Iterator[SmallDisk]:
        """A file system of its own that is soon full, where the cluster's jobs see it."""
        inside = self._new_folder("disk")
        self.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(inside))
        try:
            with self._view() as root:
                outside = root / inside.relative_to("/")
                self.run("touch", str(inside / "here"))
                wait_for((outside / "here").exists, "a view of the disk")
                yield SmallDisk(inside, outside)
        finally:
            self.run("umount", "--lazy", str(inside))

    @contextmanager
    def _view(self) -> Iterator[Path]:
        """The root folder as processes of the cluster see it: mounts in there are theirs alone."""
        if not self._is_inside:
            yield Path("/")
            return
        words = [str(PROGRAM), "exec", self.name, "--", "sleep", "infinity"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=self.environment) as holder:
            try:
                yield Path(f"/proc/{holder.pid}/root")
            finally:
                holder.kill()

    def submit(
        self,
        name: str,
        *options: str,
        words: Sequence[str] = (),
        edit: Edit | None = None,
        run_dir: Path | None = None,
    ) -> LiveJob:
        """Submit the trainee through ``mlcost submit``; with ``edit``, a changed copy of its batch script."""
        folder = self._new_folder(name)
        run_dir = run_dir or folder / "run"
        line = ["submit", "--cpus", "1", "--run-dir", str(run_dir), *options]
        command = ["--", self.python, self.trainee, *words]
        if edit is None:
            said = self.mlcost(*line, "--format", "json", *command, FAULT_FOLDER=str(folder))
            job_id = json.loads(said)["job_id"]
        else:
            text = self.mlcost(*line, "--dry-run", *command)
            changed = edit(text)
            assert changed != text
            run_dir.mkdir()
            (run_dir / "job.sbatch").write_text(changed)
            job_id = self.run("sbatch", "--parsable", str(run_dir / "job.sbatch"), FAULT_FOLDER=str(folder))
        return LiveJob(self, job_id, folder, run_dir)

    def submit_peer(self, name: str, kind: Kind, *, way: str = "srun", minutes: int = 30) -> LiveJob:
        """Submit the same trainee through plain submitit."""
        folder = self._new_folder(name)
        run_dir = folder / "run"
        words = ("-m", "tests.live.fault_peer", str(run_dir), "spot", f"gpu:{kind.type}:{kind.gpus}")
        job_id = self.run(self.python, *words, str(minutes), way, FAULT_FOLDER=str(folder))
        return LiveJob(self, job_id, folder, run_dir)

    def _new_folder(self, name: str) -> Path:
        for number in range(100):
            folder = self.folder / f"{name}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:  # of a trial beside this one
                continue
            return folder
        raise TrialError(f"too many trials called {name}")


@dataclass
class LiveJob:
    """A submitted trainee."""

    lab: Lab
    job_id: str
    folder: Path
    run_dir: Path
    injected_at: float | None = field(default=None)

    def steps(self, name: str = "0") -> list[Step]:
        """Return the steps done so far."""
        return read_steps(self.folder, name)

    def wait_steps(self, count: int, restart: int = 0, name: str = "0") -> None:
        """Wait until a run of the job has done so many steps."""

        def enough() -> bool:
            return sum(step.restart == restart for step in self.steps(name)) >= count

        wait_for(enough, f"{count} steps of run {restart} of job {self.job_id}; {self.tail()}")

    def state(self) -> str:
        """Return the state in squeue's words."""
        return self.lab.run("squeue", "-h", "-t", "all", "-j", self.job_id, "-o", "%T")

    def wait_state(self, *states: str) -> str:
        """Wait until the job is in one of these states."""
        return str(wait_for(lambda: next((s for s in states if s == self.state()), ""), f"{states}"))

    def enough(self) -> None:
        """Let the training end."""
        (self.folder / "enough").touch()

    def end(self) -> str:
        """Let the training end, and return the job's last state."""
        self.enough()
        return self.wait_state("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")

    def take_node(self, node: str = "") -> None:
        """Preempt the job: another of a higher tier wants its GPUs. Returns when Slurm has decided."""
        asked = self.lab.run("squeue", "-h", "-j", self.job_id, "-O", "NodeList:40,tres-per-node:40").split()
        node = node or asked[0]
        gres = asked[1].removeprefix("gres:").removeprefix("gres/")
        partition = PARTITIONS.get(node, "mixed")
        self.injected_at = time.time()
        self.lab.run(
            "sbatch", "-J", "wants-the-node", "-p", partition, "-w", node, f"--gres={gres}", "-t", "1",
            "-o", "/dev/null", "--wrap", "true",
        )  # fmt: skip

    def wait_preempted(self) -> None:
        """Wait until Slurm has begun to preempt it."""
        ask = ("squeue", "-h", "-t", "all", "-j", self.job_id, "-O", "PreemptTime:30")

        def is_preempted() -> bool:
            return self.lab.run(*ask)[:1].isdigit()

        wait_for(is_preempted, f"the preemption of {self.job_id}")

    def history(self) -> list[str]:
        """Return the state of each run of a job that has ended, as the accounting has them a moment later."""
        ask = ("sacct", "-X", "-D", "-n", "-P", "-o", "Submit,State", "-j", self.job_id)

        def states() -> list[str]:
            found = [line.partition("|")[2].split()[0] for line in sorted(self.lab.run(*ask).splitlines())]
            return [] if {"RUNNING", "PENDING"} & {*found} else found

        return wait_for(states, f"the end of {self.job_id} in the accounting")

    def decisions(self) -> list[str]:
        """Return what the batch script has decided at the end of each run."""
        path = self.run_dir / "requeues.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split(" ", 2)[2] for line in lines]

    def reasons(self) -> list[str | None]:
        """Return why each run ended, in the training's own words."""
        paths = sorted((self.run_dir / "attempts").glob("[!.]*.json"))
        return [json.loads(path.read_text())["reason"] for path in paths]

    def warnings(self) -> list[str]:
        """Return the warnings of all runs."""
        paths = sorted((self.run_dir / "attempts").glob("[!.]*.json"))
        return [warning for path in paths for warning in json.loads(path.read_text())["warnings"]]

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return sorted((self.run_dir / "checkpoints").glob("step-*"))

    def saved_step(self) -> int:
        """Return the steps done that the newest checkpoint holds."""
        return int(self.checkpoints()[-1].name.removeprefix("step-"))

    def loss(self, name: str = "0") -> Loss:
        """Return the work that later runs began again."""
        return find_loss(self.steps(name))

    def tail(self) -> str:
        """Return the end of the job's log, for messages."""
        paths = [*self.run_dir.glob("*.log"), *self.run_dir.glob("*_log.*")]
        return " | ".join(f"{path.name}: {path.read_text(errors='replace')[-600:]}" for path in paths)
