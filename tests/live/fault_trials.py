"""The trials: each submits a trainee, does something to it, lets it end, and says what that cost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.live.faults import Edit, Lab, LiveJob, wait_for

if TYPE_CHECKING:
    from pathlib import Path

SPOT = ("--partition", "spot", "--time", "30m")
CPU = ("--partition", "cpu", "--time", "30m")
GRACE_TO_END_IN_S = 300


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial cost.

    Attributes:
        lost_steps: steps that were done and had to be done again, or are gone for good.
        lost_seconds: the same in seconds.
        state: the job's last state.
        runs: state of each of its runs in the accounting.
        decisions: what the batch script decided at the end of each run.
        reasons: why each run ended, in the training's words.
        details: more that a trial wants checked.
    """

    lost_steps: int
    lost_seconds: float
    state: str
    runs: list[str]
    decisions: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def result_of(job: LiveJob, state: str, **details: Any) -> Result:
    """Return the result of a job that has ended."""
    loss = job.loss()
    steps = job.steps()
    is_gone = state != "COMPLETED"
    last = [step for step in steps if step.restart == steps[-1].restart]
    return Result(
        lost_steps=loss.steps + (len(last) if is_gone else 0),
        lost_seconds=loss.seconds + (round(last[-1].at - last[0].at, 2) if is_gone else 0.0),
        state=state,
        runs=job.history(),
        decisions=job.decisions(),
        reasons=job.reasons(),
        details={"resumed_at": last[0].step, "log": job.tail()[-1500:], **details},
    )


def without_srun(text: str) -> str:
    """The trainee is started by the batch script itself."""
    return text.replace("mlcost_run srun --unbuffered ", "mlcost_run ")


def signal_to_batch(text: str) -> str:
    """The signal goes to the batch script."""
    return text.replace("#SBATCH --signal=USR2@", "#SBATCH --signal=B:USR2@")


def without_signal(text: str) -> str:
    """No signal is asked for."""
    return "".join(line for line in text.splitlines(keepends=True) if "--signal=" not in line)


def preempted(lab: Lab, edit: Edit | None = None) -> Result:
    """Another job takes the node; the trainee goes on when the node is free."""
    with lab.places.take() as kind:
        job = lab.submit("preempted", *SPOT, *_gpus(kind), edit=edit)
        job.wait_steps(20)
        job.take_node()
        job.wait_steps(5, restart=1)
        return result_of(job, job.end(), last_step_after_s=_until_last_step(job))


def finished_in_grace(lab: Lab) -> Result:
    """The training comes to its own end while its grace time runs: nothing is left to do.

    In a partition of its own with a grace time that no busy machine outlasts; the trial ends it.
    """
    with lab.places.take() as kind, lab.patient_partition(GRACE_TO_END_IN_S) as partition:
        where = ("--partition", partition, "--time", "30m")
        job = lab.submit("finished", *where, *_gpus(kind), edit=without_srun)
        job.wait_steps(20)
        job.take_node()
        job.wait_preempted()
        state = job.end()
        return result_of(job, state, has_run_again=any(step.restart for step in job.steps()))


def killed_in_last_save(lab: Lab) -> Result:
    """The save after a preemption outlasts the time until the kill."""
    with lab.places.take() as kind:
        job = lab.submit("killed-last", *SPOT, *_gpus(kind), words=["--save-every", "40"])
        job.wait_steps(50)
        wait_for(job.checkpoints, "a first checkpoint")
        (job.folder / "hold").touch()
        job.take_node()
        wait_for((job.folder / "holding").exists, "a save that is held")
        saved = job.saved_step()
        job.wait_state("PENDING")
        remains = len(list((job.run_dir / "checkpoints").glob(".tmp-*")))
        (job.folder / "hold").unlink()
        job.wait_steps(5, restart=1)
        state = job.end()
        after = len(list((job.run_dir / "checkpoints").glob(".tmp-*")))
        return result_of(job, state, last_saved=saved, remains=remains, remains_after=after)


def killed_in_save(lab: Lab) -> Result:
    """The trainee is killed with signal 9 during a periodic save."""
    job = lab.submit("killed-save", *CPU, words=["--save-every", "30"])
    job.wait_steps(40)
    wait_for(job.checkpoints, "a first checkpoint")
    (job.folder / "hold").touch()
    wait_for((job.folder / "holding").exists, "a save that is held")
    saved = job.saved_step()
    os.kill(int((job.folder / "holding").read_text()), signal.SIGKILL)
    (job.folder / "hold").unlink()
    job.wait_steps(5, restart=1)
    return result_of(job, job.end(), last_saved=saved)


def node_failed(lab: Lab) -> Result:
    """The node is gone without a word: all its processes are killed, and Slurm notices."""
    with lab.places.take() as kind:
        job, node = _saved_once(lab, "node", kind)
        with lab.breaking:
            lab.crash(node, job.job_id)
            saved = job.saved_step()
            _fail_node(job, node)
        job.wait_steps(5, restart=1)
        return result_of(job, job.end(), last_saved=saved)


def _saved_once(lab: Lab, name: str, kind: Any) -> tuple[LiveJob, str]:
    """Return a job that has a checkpoint and has gone on since, and its node."""
    job = lab.submit(name, *SPOT, *_gpus(kind), words=["--save-every", "40"])
    job.wait_steps(50)
    wait_for(job.checkpoints, "a first checkpoint")
    return job, lab.run("squeue", "-h", "-j", job.job_id, "-o", "%N")


def _fail_node(job: LiveJob, node: str) -> None:
    """Let Slurm notice that a node is gone, and bring it back."""
    lab = job.lab
    lab.run("scontrol", "update", f"nodename={node}", "state=down", "reason=fault")
    job.wait_state("PENDING")
    # From 24.11 on Slurm tells a node that comes back to end the job's former run, and would end the next one
    # if that had begun there already, as it may in trials: with cred_expire=5 it waits for seconds only.
    lab.call(("scontrol", "hold", job.job_id))
    lab.start_nodes()
    lab.call(("scontrol", "release", job.job_id))


def node_cut_off(lab: Lab) -> Result:
    """Slurm takes the node for dead while the training lives on there: two runs of one job at once."""
    with lab.places.take() as kind:
        job, node = _saved_once(lab, "cut-off", kind)
        with lab.breaking:
            lab.cut_off(node, job.job_id)
            _fail_node(job, node)
        job.wait_steps(5, restart=1)
        wait_for(lambda: "superseded" in job.reasons(), f"the end of the first run; {job.reasons()}")
        saved = [path.name for path in job.checkpoints()]
        state = job.end()
        return result_of(job, state, saved=saved, last_of_first=_last_step(job, 0))


def checkpoint_damaged(lab: Lab) -> Result:
    """A byte of the newest checkpoint changes while the job waits."""
    job = lab.submit("damaged", *CPU, words=["--save-every", "40"])
    job.wait_steps(50)
    wait_for(job.checkpoints, "a first checkpoint")
    lab.run("scancel", "--signal=USR2", job.job_id)
    job.wait_state("PENDING")
    newest = job.checkpoints()[-1] / "shared.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    job.wait_steps(5, restart=1)
    state = job.end()
    return result_of(job, state, warnings=job.warnings(), interval=40)


def fill(folder: Path) -> Path:
    """Fill a disk to the last byte; return the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


def disk_full(lab: Lab) -> Result:
    """The disk of the run folder is full when the job is preempted, and has room again later."""
    with lab.places.take() as kind, lab.small_disk("3m") as disk:
        words = ["--save-every", "40", "--width", "200"]
        job = lab.submit("full", *SPOT, *_gpus(kind), words=words, run_dir=disk.inside)
        job.run_dir = disk.outside
        wait_for(lambda: len(job.checkpoints()) >= 1, f"a first checkpoint; {job.tail()}")
        ballast = fill(disk.outside)
        saved = job.saved_step()
        before = len(job.steps())
        job.wait_steps(before + 60)  # a periodic save has failed by now
        job.take_node()
        job.wait_state("PENDING")
        ballast.unlink()
        job.wait_steps(5, restart=1)
        return result_of(job, job.end(), last_saved=saved)


def time_limit(lab: Lab) -> Result:
    """The job runs into its time limit."""
    job = lab.submit("limit", "--partition", "cpu", "--time", "1m")
    job.wait_steps(5, restart=1)
    return result_of(job, job.end())


def signalled_twice(lab: Lab) -> Result:
    """Two signals arrive, the second during the save that the first one caused."""
    job = lab.submit("twice", *CPU)
    job.wait_steps(20)
    (job.folder / "hold").touch()
    lab.run("scancel", "--signal=USR2", job.job_id)
    wait_for((job.folder / "holding").exists, "a save that is held")
    lab.run("scancel", "--signal=USR2", job.job_id)
    lab.run("scancel", "--signal=TERM", job.job_id)
    lab.run("scancel", "--batch", "--signal=TERM", job.job_id)
    time.sleep(0.5)  # signals have no receipt
    (job.folder / "hold").unlink()
    job.wait_steps(5, restart=1)
    return result_of(job, job.end())


def cancelled(lab: Lab) -> Result:
    """The user cancels the job: it saves, and stays cancelled."""
    job = lab.submit("cancelled", *CPU)
    job.wait_steps(20)
    lab.run("scancel", job.job_id)
    job.wait_state("CANCELLED")
    wait_for(job.decisions, "the script's word")
    return _kept(job, "CANCELLED")


def held_and_released(lab: Lab) -> Result:
    """An operator requeues and holds the job, and releases it later."""
    job = lab.submit("held", *CPU)
    job.wait_steps(20)
    lab.run("scontrol", "requeuehold", job.job_id)
    wait_for(lambda: "held" in _reason(job), f"hold of {job.job_id}")
    wait_for(job.decisions, "the script's word")
    held = job.wait_state("PENDING", "REQUEUE_HOLD")
    lab.run("scontrol", "release", job.job_id)
    job.wait_steps(5, restart=1)
    return result_of(job, job.end(), held=held)


def array_task(lab: Lab) -> Result:
    """One task of an array of three is told to stop: it alone is requeued."""
    folder = lab.folder / "array"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from mlcost_hpc.cli.context import Context; "
        "from mlcost_hpc.launch.array import ArrayOrder; from mlcost_hpc.launch.need import Need; "
        "launcher = Context(None, verbose=False).launcher(None); "
        "choice = launcher.choose(Need(partitions=('cpu',), cpus=1, memory=2**30, time_s=1800)); "
        "order = ArrayOrder(command=sys.argv[2:], tasks=3, name='array', run_dir=Path(sys.argv[1])); "
        "print(launcher.submit_array(order, choice)[0].job_id)"
    )
    run_dir = folder / "run"
    command = (lab.python, lab.trainee)
    job_id = lab.run(lab.python, "-c", code, str(run_dir), *command, FAULT_FOLDER=str(folder))
    job = LiveJob(lab, job_id, folder, run_dir / "tasks" / "1")
    for name in "012":
        job.wait_steps(20, name=name)
    lab.run("scancel", "--signal=USR2", f"{job_id}_1")
    job.wait_steps(5, restart=1, name="1")
    job.enough()
    states = ("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T")
    wait_for(lambda: lab.run(*states).split() == ["COMPLETED"] * 3, f"the end of {job_id}")
    runs = lab.run("sacct", "-X", "-D", "-n", "-P", "-o", "JobID,State", "-j", job_id)
    loss = job.loss("1")
    return Result(
        lost_steps=loss.steps,
        lost_seconds=loss.seconds,
        state="COMPLETED",
        runs=[line.replace("|", " ") for line in sorted(runs.splitlines())],
        decisions=job.decisions(),
        reasons=job.reasons(),
        details={"restarts": {name: max(step.restart for step in job.steps(name)) for name in "012"}},
    )


def two_ranks(lab: Lab) -> Result:
    """Two processes on two nodes; one of the nodes is taken."""
    with lab.places.take(2) as kind:
        count = str(2 * kind.gpus)
        options = ("--gpus", count, "--nodes", "2", "--gpu-type", kind.type)
        job = lab.submit("ranks", *SPOT, *options)
        job.wait_steps(20, name="1")
        nodes = lab.run("squeue", "-h", "-j", job.job_id, "-o", "%N")
        job.take_node(lab.run("scontrol", "show", "hostnames", nodes).split()[1])
        job.wait_steps(5, restart=1)
        job.wait_steps(5, restart=1, name="1")
        state = job.end()
        return result_of(job, state, loss_of_second=job.loss("1"), nodes=nodes)


def peer_preempted(lab: Lab, way: str = "srun", minutes: int = 30) -> Result:
    """What plain submitit makes of a preemption."""
    with lab.places.take() as kind:
        job = lab.submit_peer(f"peer-{way}", kind, way=way, minutes=minutes)
        job.wait_steps(20)
        job.take_node()
        job.wait_steps(5, restart=1)
        return result_of(job, job.end())


def peer_killed_in_save(lab: Lab) -> Result:
    """What plain submitit makes of a kill during its save, and of the preemption after that."""
    with lab.places.take() as kind:
        job = lab.submit_peer("peer-killed", kind)
        job.wait_steps(20)
        (job.folder / "hold").touch()
        job.take_node()
        wait_for((job.folder / "holding").exists, "a save that is held")
        job.wait_state("PENDING")
        (job.folder / "hold").unlink()
        job.wait_steps(40, restart=1)
        job.take_node()
        job.wait_steps(5, restart=2)
        return result_of(job, job.end())


def _gpus(kind: Any) -> tuple[str, ...]:
    return ("--gpus", str(kind.gpus), "--gpu-type", kind.type)


def _reason(job: LiveJob) -> str:
    return job.lab.run("squeue", "-h", "-t", "all", "-j", job.job_id, "-o", "%r")


def _kept(job: LiveJob, state: str) -> Result:
    """Return the result of a job that has ended on purpose: only unsaved work is lost."""
    lost = len(job.steps()) - job.saved_step()
    return Result(
        lost_steps=lost,
        lost_seconds=lost * 0.05,
        state=state,
        runs=job.history(),
        decisions=job.decisions(),
        reasons=job.reasons(),
    )


def _last_step(job: LiveJob, restart: int) -> int:
    return max(step.step for step in job.steps() if step.restart == restart)


def _until_last_step(job: LiveJob) -> float:
    """Return how long the first run went on after the node was wanted, seconds."""
    assert job.injected_at is not None
    return round(max(step.at for step in job.steps() if step.restart == 0) - job.injected_at, 1)


Trial = Callable[[Lab], Result]


class Plan(NamedTuple):
    """A trial, what it is called, and the settings of the cluster it needs.

    ``row`` is the row of the signal table in docs/explanation/preemption.md; empty = it has none.
    """

    name: str
    trial: Trial
    grace: int
    user_signal: str
    row: str = ""

    @property
    def settings(self) -> tuple[str, str]:
        """The settings as ``cluster set`` takes them."""
        return f"grace={self.grace}", f"user-signal={self.user_signal}"


def our_plans(grace: int) -> tuple[Plan, ...]:
    """Return every trial of the product; ``grace`` is the grace time of the rows that have one, seconds."""
    return (
        Plan("row C", preempted, grace, "off", "C"),
        Plan("row F", lambda lab: preempted(lab, without_srun), grace, "off", "F"),
        Plan("end of the time limit", time_limit, grace, "off"),
        Plan("two ranks on two nodes", two_ranks, grace, "off"),
        Plan("disk full at the preemption", disk_full, grace, "off"),
        Plan("own end within the grace time", finished_in_grace, grace, "off"),
        Plan("cancelled by the user", cancelled, grace, "off"),
        Plan("requeued and held, then released", held_and_released, grace, "off"),
        Plan("row A", preempted, 0, "off", "A"),
        Plan("node crashed", node_failed, 0, "off"),
        Plan("node cut off, its processes alive", node_cut_off, 0, "off"),
        Plan("killed while saving", killed_in_save, 0, "off"),
        Plan("row B", preempted, 0, "on", "B"),
        Plan("killed while saving after a preemption", killed_in_last_save, 0, "on"),
        Plan("newest checkpoint damaged", checkpoint_damaged, 0, "on"),
        Plan("two signals", signalled_twice, 0, "on"),
        Plan("one task of an array", array_task, 0, "on"),
        Plan("row D", preempted, grace, "on", "D"),
        Plan("row E", lambda lab: preempted(lab, without_srun), grace, "on", "E"),
        Plan("row G", lambda lab: preempted(lab, signal_to_batch), grace, "on", "G"),
        Plan("row H", lambda lab: preempted(lab, without_signal), grace, "on", "H"),
    )


def peer_plans(grace: int) -> tuple[Plan, ...]:
    """Return the trials that plain submitit can be put through."""
    return (
        Plan("row C", peer_preempted, grace, "off", "C"),
        Plan("row F", lambda lab: peer_preempted(lab, "direct"), grace, "off", "F"),
        Plan("row A", peer_preempted, 0, "off", "A"),
        Plan("row B", peer_preempted, 0, "on", "B"),
        Plan("killed while saving after a preemption", peer_killed_in_save, 0, "on"),
        Plan("row D", peer_preempted, grace, "on", "D"),
        Plan("row E", lambda lab: peer_preempted(lab, "direct"), grace, "on", "E"),
    )


def run_together(lab: Lab, plans: Sequence[Plan]) -> list[Result | Exception]:
    """Run trials that need the same settings beside each other; return their results in order."""
    with ThreadPoolExecutor(len(plans)) as pool:
        return [_outcome(future) for future in [pool.submit(plan.trial, lab) for plan in plans]]


def _outcome(future: Future[Result]) -> Result | Exception:
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error or future.result()
