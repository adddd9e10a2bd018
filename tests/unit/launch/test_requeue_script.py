"""The requeue logic of the batch script, run by bash with small stand-ins for Slurm's commands."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.render import Templates


@dataclass
class Batch:
    """A batch script with its Slurm commands in a folder of their own."""

    folder: Path
    launcher: Launcher
    changes: dict[str, object] = field(default_factory=dict)

    def run(
        self,
        command: str,
        *,
        state: str = "RUNNING|N/A|None|",
        quote: str = "'",
        scontrol: str = "exit 0",
        **env: str,
    ):
        """Run the script of a job whose task is a line of bash."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        self.command(bin_folder / "srun", 'shift; exec "$@"')
        self.command(bin_folder / "squeue", f"echo {quote}{state}{quote}")
        self.command(bin_folder / "scontrol", f'echo "$@" >> {self.folder}/calls; {scontrol}')
        self.command(bin_folder / "sleep", "exit 0")
        # A second of patience is a tenth here.
        self.command(bin_folder / "timeout", 'exec /usr/bin/timeout "0.$1" "${@:2}"')
        choice = self.launcher.choose(Need(gpus=1, time_s=36000))
        run_dir = self.folder / "run"
        script = self.launcher.script(["bash", "-c", command], choice, name="job", run_dir=run_dir)
        path = self.folder / "job.sh"
        path.write_text(self.launcher.render(msgspec.structs.replace(script, **self.changes)))
        environment = {"SLURM_JOB_ID": "17", "SLURM_CPUS_PER_TASK": "1", **env}
        environment["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", path], env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    @staticmethod
    def command(path: Path, body: str) -> None:
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def log(self) -> str:
        return (self.folder / "run" / "requeues.log").read_text()


@pytest.fixture
def batch(tmp_path: Path, launcher: Launcher) -> Batch:
    """A batch script to run."""
    return Batch(tmp_path, launcher)


def test_exit_code_of_the_task_is_the_jobs(batch: Batch) -> None:
    """A task that fails makes the job fail with its code, and nothing is requeued."""
    assert batch.run("exit 7").returncode == 7
    assert batch.calls == []


def test_exit_85_requeues_the_job(batch: Batch) -> None:
    """A task that leaves with 85 has its job requeued."""
    assert batch.run("exit 85").returncode == 0
    assert batch.calls == ["requeue 17"]
    assert "requeued (signal)" in batch.log


def test_array_task_requeues_itself_only(batch: Batch) -> None:
    """In an array only the one task is requeued: the last one carries the array's own id."""
    batch.run("exit 85", SLURM_ARRAY_JOB_ID="17", SLURM_ARRAY_TASK_ID="4")
    assert batch.calls == ["requeue 17_4"]


def test_cancelled_job_is_not_requeued(batch: Batch) -> None:
    """Scancel ends a job: the state is no longer RUNNING, so the script leaves it alone."""
    batch.run("exit 85", state="COMPLETING|N/A|None|")
    assert batch.calls == []


def test_job_over_its_limit_is_requeued_even_while_completing(batch: Batch) -> None:
    """A save that outlasted the time limit still counts."""
    batch.run("exit 85", state="COMPLETING|N/A|TimeLimit|")
    assert "requeued (timeout)" in batch.log


def test_preemption_is_told_from_a_timeout(batch: Batch) -> None:
    """The controller's PreemptTime says that the job is being preempted."""
    batch.run("exit 85", state="RUNNING|1790000000|None|")
    assert "requeued (preempted)" in batch.log


def test_already_pending_counts_as_requeued(batch: Batch) -> None:
    """When Slurm was quicker, its complaint is no failure."""
    done = batch.run("exit 85", scontrol="echo 'Job is pending execution for job 17' >&2; exit 1")
    assert done.returncode == 0
    assert batch.calls == ["requeue 17"]


def test_requeue_that_fails_is_tried_again_and_told(batch: Batch) -> None:
    """A busy controller gets five tries; then the job fails and the log says why."""
    done = batch.run("exit 85", scontrol="echo 'Socket timed out' >&2; exit 1")
    assert done.returncode == 85
    assert len(batch.calls) == 5
    assert "cannot be requeued: Socket timed out" in batch.log


def test_requeues_are_bounded(batch: Batch) -> None:
    """After as many requeues as the budget allows the job fails and says so."""
    run_dir = batch.folder / "run"
    run_dir.mkdir()
    (run_dir / "requeues.log").write_text("t 17.0 requeued (signal)\n" * 10)
    assert batch.run("exit 85").returncode == 85
    assert batch.calls == []
    assert "10 requeues (signal) are all that is allowed" in batch.log


def test_attempts_without_progress_end_the_chain(batch: Batch) -> None:
    """The third attempt in a row that ends at the step where it began is not requeued."""
    attempts = batch.folder / "run" / "attempts"
    attempts.mkdir(parents=True)
    codes = []
    for restart in range(3):
        (attempts / f"17.{restart}.json").write_text('{"first_step":5,"last_step":5}\n')
        codes.append(batch.run("exit 85", SLURM_RESTART_COUNT=str(restart)).returncode)
    assert codes == [0, 0, 85]
    assert "made no progress" in batch.log


def record_steps(batch: Batch, attempt: str, first: int, last: int) -> None:
    attempts = batch.folder / "run" / "attempts"
    attempts.mkdir(parents=True, exist_ok=True)
    (attempts / f"{attempt}.json").write_text(f'{{"first_step":{first},"last_step":{last}}}\n')


def test_failed_run_that_saved_something_goes_on_from_there(batch: Batch) -> None:
    """Killed by signal 9 after a periodic save: requeued as an error."""
    record_steps(batch, "17.0", 0, 30)
    assert batch.run("exit 137").returncode == 0
    assert batch.calls == ["requeue 17"]
    assert "requeued (error)" in batch.log


def test_same_fault_at_the_same_step_ends_the_job(batch: Batch) -> None:
    """A run that fails before it has saved anything new is not repeated; its exit code is the job's."""
    record_steps(batch, "17.1", 30, 30)
    assert batch.run("exit 1", SLURM_RESTART_COUNT="1").returncode == 1
    assert batch.calls == []


@pytest.mark.parametrize("code", [0, 4, 130])
def test_ends_that_are_meant_are_no_errors(batch: Batch, code: int) -> None:
    """Done, the budget spent, Ctrl-C: never repeated, however much was saved."""
    record_steps(batch, "17.0", 0, 30)
    assert batch.run(f"exit {code}").returncode == code
    assert batch.calls == []


def test_errors_have_a_small_budget_of_their_own(batch: Batch) -> None:
    """After two requeues for errors the job fails with its own code."""
    record_steps(batch, "17.2", 60, 90)
    (batch.folder / "run" / "requeues.log").write_text("t 17.0 requeued (error)\n" * 2)
    assert batch.run("exit 1", SLURM_RESTART_COUNT="2").returncode == 1
    assert batch.calls == []
    assert "2 requeues (error) are all that is allowed" in batch.log


def test_torchrun_hides_the_code_but_not_the_wish(batch: Batch) -> None:
    """A note about this very attempt asks for the requeue when the exit code cannot."""
    batch.run('echo 17.0 > "$MLCOST_RUN_DIR/requeue-me"; exit 1')
    assert batch.calls == ["requeue 17"]


def test_stale_note_of_an_earlier_attempt_is_ignored(batch: Batch) -> None:
    """A note of another attempt does not turn a crash into a requeue."""
    assert (
        batch.run('echo 17.0 > "$MLCOST_RUN_DIR/requeue-me"; exit 1', SLURM_RESTART_COUNT="1").returncode == 1
    )
    assert batch.calls == []


def test_script_outlives_the_signals_it_gets(batch: Batch) -> None:
    """TERM to the batch script does not end it before its task; the task's code counts."""
    assert (
        batch.run("kill -TERM $PPID; kill -USR2 $PPID; for i in {1..20000}; do :; done; exit 85").returncode
        == 0
    )
    assert batch.calls == ["requeue 17"]


@pytest.mark.parametrize(
    ("state", "code", "calls"),
    [("RUNNING|N/A|None|0|", 0, ["requeue 17"]), ("COMPLETING|N/A|None|1|", 85, [])],
)
def test_job_told_to_stop_before_its_program_begins_is_requeued(
    batch: Batch, state: str, code: int, calls: list[str]
) -> None:
    """While a site's setup runs: the program is not begun, and the job goes on later instead of failing."""
    folder = batch.folder / "templates"
    folder.mkdir()
    setup = '{% extends "base.sbatch.j2" %}{% block setup %}kill -TERM $$; echo loaded{% endblock %}'
    (folder / "train.sbatch.j2").write_text(setup)
    batch.launcher = Launcher(
        batch.launcher.slurm, batch.launcher.catalog, batch.launcher.card, currency="USD",
        runs=batch.folder, templates=Templates(folder),
    )  # fmt: skip
    done = batch.run("echo ran", state=state)
    assert (done.stdout, done.returncode, batch.calls) == ("loaded\n", code, calls)


@pytest.mark.parametrize(
    ("state", "code", "calls"),
    [("RUNNING|1790000000|None|0|", 0, ["requeue 17"]), ("RUNNING|N/A|None|0|", 1, [])],
)
def test_program_that_srun_could_not_start_is_no_end_of_the_job(
    batch: Batch, state: str, code: int, calls: list[str]
) -> None:
    """While it is being preempted the job goes on later; else srun has failed, and so does the job."""
    assert batch.run('exit "$SLURM_EXIT_ERROR"', state=state).returncode == code
    assert batch.calls == calls
    assert not (batch.folder / "run" / "ended-in-grace").exists()


def test_a_busy_controller_makes_no_end_of_a_program_that_was_not_started(batch: Batch) -> None:
    """Its first answer is lost, its second says "preempted"."""
    lost = batch.folder / "lost"
    answer = "RUNNING|1790000000|None|0|"
    done = batch.run("exit 186", state=f"$([ -f {lost} ] && echo '{answer}'; touch {lost})", quote='"')
    assert (done.returncode, batch.calls) == (0, ["requeue 17"])
    assert not (batch.folder / "run" / "ended-in-grace").exists()


@pytest.mark.parametrize("code", [143, 140, 138])
def test_a_program_that_dies_of_what_tells_of_a_preemption_is_run_again(batch: Batch, code: int) -> None:
    """It knows no signals: being told is no end that it meant. Without a preemption it is."""
    assert batch.run(f"exit {code}", state="RUNNING|1790000000|None|0|").returncode == 0
    assert batch.calls == ["requeue 17"]
    assert not (batch.folder / "run" / "ended-in-grace").exists()
    assert batch.run(f"exit {code}", state="RUNNING|N/A|None|0|").returncode == code


def test_run_that_outlived_the_next_ones_start_leaves_the_job_alone(batch: Batch) -> None:
    """On a node that was taken for dead: what runs now is the next run, which a requeue would end."""
    record_steps(batch, "17.1", 0, 30)
    other = {"state": "RUNNING|N/A|None|2|", "SLURM_RESTART_COUNT": "1"}
    assert [batch.run(f"exit {code}", **other).returncode for code in (85, 137)] == [85, 137]
    assert batch.calls == []
    assert "left to Slurm (run 3 goes on)" in batch.log
    assert batch.run("exit 85", state="RUNNING|N/A|None|1|", SLURM_RESTART_COUNT="1").returncode == 0


def test_end_within_the_grace_time_is_given_again(batch: Batch) -> None:
    """A job that ended while being preempted, and that Slurm runs again, ends the same way at once."""
    preempted = "RUNNING|1790000000|None|"
    assert batch.run("echo ran; exit 3", state=preempted).stdout == "ran\n"
    again = batch.run("echo ran; exit 3", SLURM_RESTART_COUNT="1")
    assert (again.returncode, again.stdout) == (3, "")


def test_good_end_after_a_preemption_is_not_run_again(batch: Batch) -> None:
    """Slurm 24.11 runs a job that was preempted before once more after its end: nothing is done twice."""
    assert batch.run("echo ran", SLURM_RESTART_COUNT="1").stdout == "ran\n"
    again = batch.run("echo ran", SLURM_RESTART_COUNT="2")
    assert (again.returncode, again.stdout) == (0, "")
    assert batch.run("echo ran", SLURM_RESTART_COUNT="3").stdout == "ran\n"


def test_failed_run_can_be_requeued_by_hand(batch: Batch) -> None:
    """An end that failed is not kept, unless it was within the grace time: the next run really runs."""
    assert batch.run("echo ran; exit 3", SLURM_RESTART_COUNT="1").returncode == 3
    assert batch.run("echo ran", SLURM_RESTART_COUNT="2").stdout == "ran\n"


def test_job_that_slurm_has_decided_on_leaves_its_node_at_once(batch: Batch) -> None:
    """Saved, and neither requeued here nor waiting for a kill: the node is free sooner, the code says 85."""
    assert batch.run("exit 85", state="COMPLETING|N/A|None|").returncode == 85
    assert batch.run("exit 85", state="|||").returncode == 85


def test_tasks_are_told_what_they_run_on(batch: Batch) -> None:
    """GPU model, number, run folder and end time are in the environment of the task."""
    done = batch.run("echo $MLCOST_GPU_MODEL $MLCOST_GPUS ${MLCOST_RUN_DIR##*/} ${#SLURM_JOB_END_TIME}")
    assert done.stdout.split() == ["a100-40gb", "1", "run", "10"]


def test_an_attempt_that_was_taken_over_requeues_nothing(batch: Batch) -> None:
    """The job runs again already: a requeue by its former run would stop it."""
    record = '{"first_step":0,"last_step":40,"ended":"now","reason":"superseded"}'
    say = f"mkdir -p $MLCOST_RUN_DIR/attempts; echo '{record}' > $MLCOST_RUN_DIR/attempts/17.0.json; exit 1"
    assert batch.run(say).returncode == 1
    assert batch.calls == []


def test_tasks_are_told_price_and_notice_where_they_run(batch: Batch) -> None:
    """What an hour costs and how long the notice is depend on the partition the run is in."""
    told = "echo $MLCOST_PRICE_PER_HOUR $MLCOST_GRACE_S $MLCOST_KILL_WAIT_S"
    price = f"{batch.launcher.choose(Need(gpus=1, time_s=36000)).best.per_hour:.6f}"
    assert batch.run(told, SLURM_JOB_PARTITION="spot").stdout.split() == [price, "20", "30"]
    old = {"MLCOST_PRICE_PER_HOUR": "9"}
    assert batch.run(told, SLURM_JOB_PARTITION="elsewhere", **old).stdout.split() == ["30"]


def plan_a_move(batch: Batch, body: str, *, leaves: bool = False) -> None:
    """Let the batch script ask a stand-in whether the job is to be moved."""
    batch.changes = {"replan": str(batch.folder / "planner"), "leaves": leaves}
    batch.command(batch.folder / "planner", f'echo "plan ${{@:3}}" >> {batch.folder}/calls; {body}')


def test_move_is_planned_once_it_is_known_that_the_job_comes_back(batch: Batch) -> None:
    """The controller's word first, then the plan, then the requeue, which ends the script."""
    plan_a_move(batch, "echo 'to be moved'")
    assert batch.run("exit 85", state="RUNNING|1790000000|None|", SLURM_JOB_PARTITION="spot").returncode == 0
    assert batch.calls == [f"plan {batch.folder}/run {batch.folder}/run 17.0 spot", "requeue 17"]
    assert batch.log.index("to be moved") < batch.log.index("requeued (preempted)")


@pytest.mark.parametrize(
    ("state", "calls"), [("COMPLETING|N/A|None|", 1), ("|||", 1), ("CANCELLED|N/A|None|", 0)]
)
def test_what_slurm_requeues_itself_is_planned_for_too(batch: Batch, state: str, calls: int) -> None:
    """Without grace time Slurm has decided already, and only the plan is left to do."""
    plan_a_move(batch, "exit 0")
    assert batch.run("exit 85", state=state).returncode == 85
    assert len(batch.calls) == calls


def test_job_that_is_out_of_requeues_is_not_planned_for(batch: Batch) -> None:
    """Nothing is submitted for a job that will not run again."""
    plan_a_move(batch, "exit 0")
    (batch.folder / "run").mkdir()
    (batch.folder / "run" / "requeues.log").write_text("t 17.0 requeued (signal)\n" * 10)
    assert batch.run("exit 85").returncode == 85
    assert batch.calls == []


def test_slow_plan_does_not_take_the_time_that_is_left(batch: Batch) -> None:
    """A plan that hangs is given up, and the job is requeued all the same."""
    plan_a_move(batch, "exec /bin/sleep 60")
    assert batch.run("exit 85").returncode == 0
    assert batch.calls[-1] == "requeue 17"


def test_slow_controller_does_not_take_the_time_that_is_left(batch: Batch) -> None:
    """A requeue that hangs is tried again; Slurm's word that it was done already is good."""
    hang = f"[ $(wc -l < {batch.folder}/calls) = 1 ] && exec /bin/sleep 60; echo pending execution; exit 1"
    assert batch.run("exit 85", scontrol=hang).returncode == 0
    assert batch.calls == ["requeue 17"] * 2


def test_job_that_is_moved_leaves_where_slurm_requeues_what_leaves(batch: Batch) -> None:
    """From 24.05 on a job to be moved is not requeued within its grace time but leaves: only that ends it."""
    plan_a_move(batch, "echo 'to be moved'", leaves=True)
    assert batch.run("exit 85", state="RUNNING|1790000000|None|").returncode == 85
    assert len(batch.calls) == 1
    assert "requeued (preempted)" in batch.log


@pytest.mark.parametrize("state", ["RUNNING|N/A|None|", "RUNNING|1790000000|None|"])
def test_job_that_stays_is_requeued_there_as_well(batch: Batch, state: str) -> None:
    """Where nothing is moved, and for other signals, the script requeues as everywhere."""
    plan_a_move(batch, "echo moved" if "N/A" in state else "exit 0", leaves=True)
    assert batch.run("exit 85", state=state).returncode == 0
    assert batch.calls[-1] == "requeue 17"
