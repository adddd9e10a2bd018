"""Real training processes that are stopped, killed and started again."""

import json
import os
import signal
from pathlib import Path

import pytest

from mlcost_hpc.train import store
from mlcost_hpc.train.attempts import read_attempts

SLURM = {"SLURM_JOB_ID": "7", "MLCOST_GPU_MODEL": "a100-80g", "MLCOST_GPUS": "1"}


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signalled_run_saves_leaves_with_85_and_resumes_bit_for_bit(
    tmp_path, start_worker, undisturbed, read_result, number
):
    """TERM or USR2 ends the run after the running step; the next attempt ends with the undisturbed result."""
    worker = start_worker(tmp_path, 30, "--hold-step", 12, environment=SLURM)
    worker.wait_for("holding")
    worker.process.send_signal(number)
    code, _, err = worker.end("go on\n")
    assert code == 85, err
    assert (tmp_path / "requeue-me").read_text() == "7.0\n"

    code, out, err = start_worker(tmp_path, 30, environment=SLURM | {"SLURM_RESTART_COUNT": "1"}).end()
    assert code == 0, err
    assert "resumed at step 13" in err
    assert read_result(out) == undisturbed

    first, second = read_attempts(tmp_path)
    assert (first.job_id, first.restart, first.reason, first.first_step, first.last_step) == (
        "7",
        0,
        "preempted",
        0,
        13,
    )
    assert (second.restart, second.reason, second.first_step, second.last_step) == (1, "finished", 13, 30)
    assert (first.gpu_model, first.gpus) == ("a100-80g", 1)


def test_more_signals_while_stopping_change_nothing(tmp_path, start_worker):
    """A second and a third signal before the end of the step lead to one save and one exit."""
    worker = start_worker(tmp_path, 30, "--hold-step", 5)
    worker.wait_for("holding")
    for number in (signal.SIGUSR2, signal.SIGCONT, signal.SIGTERM, signal.SIGTERM):
        worker.process.send_signal(number)
    code, _, err = worker.end("go on\n")
    assert code == 85, err
    assert [entry.step for entry in store.list_checkpoints(tmp_path / "checkpoints")] == [6]


@pytest.mark.parametrize("function", ["write_state", "write_manifest", "publish"])
def test_a_kill_during_a_save_leaves_the_checkpoint_before(
    tmp_path, start_worker, undisturbed, read_result, function
):
    """SIGKILL while a save writes, sums up or publishes costs that save only, and its remains are removed."""
    worker = start_worker(tmp_path, 30, "--save-every", 4, "--hold-at", function)
    worker.wait_for("holding")
    worker.process.kill()
    worker.end()
    folder = tmp_path / "checkpoints"
    assert len(list(folder.glob(".tmp-*"))) == 1

    code, out, err = start_worker(tmp_path, 30).end()
    assert code == 0, err
    assert "resumed at step" in err
    assert read_result(out) == undisturbed
    assert [path.name for path in folder.glob(".*")] == [".owner"]
    killed, _ = read_attempts(tmp_path)
    assert killed.unwarned


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(
    tmp_path, start_worker, undisturbed, read_result
):
    """One flipped byte in the newest checkpoint: the one before is used, and the record names the bad one."""
    worker = start_worker(tmp_path, 30, "--save-every", 5, "--hold-step", 12)
    worker.wait_for("holding")
    worker.process.kill()
    worker.end()
    newest = store.list_checkpoints(tmp_path / "checkpoints")[0].path / "shared.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)

    code, out, err = start_worker(tmp_path, 30).end()
    assert code == 0, err
    assert "checkpoint step-000000000010 is damaged (shared.pt does not match its checksum)" in err
    assert "resumed at step 5" in err
    assert read_result(out) == undisturbed
    assert "step-000000000010" in read_attempts(tmp_path)[-1].warnings[0]


def test_a_finished_run_started_again_ends_at_once(tmp_path, start_worker):
    """A requeue after the end costs nothing: exit 0 and no step is run."""
    assert start_worker(tmp_path, 8).end()[0] == 0
    code, out, err = start_worker(tmp_path, 8).end()
    assert (code, out) == (0, "")
    assert "finished already at step 8" in err


def test_a_finished_run_can_be_prolonged(tmp_path, start_worker, undisturbed, read_result):
    """Asking for more steps than before goes on from the last one."""
    assert start_worker(tmp_path, 8).end()[0] == 0
    code, out, _ = start_worker(tmp_path, 30).end()
    assert code == 0
    assert read_result(out) == undisturbed


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers_survive_the_signal_until_the_save(
    tmp_path, start_worker, undisturbed, read_result, context
):
    """Slurm signals every process of a step; a loader worker that died of it would break the running step.

    Random augmentation in two workers, one or none is the same, so the result is that without workers.
    """
    worker = start_worker(tmp_path, 30, "--hold-step", 12, "--loader-workers", 2, "--loader-context", context)
    worker.wait_for("holding")
    children = [int(pid) for pid in children_of(worker.process.pid)]
    assert len(children) >= 2
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    for pid in [*children, worker.process.pid]:
        os.kill(pid, signal.SIGTERM)
    code, _, err = worker.end("go on\n")
    assert code == 85, err
    assert "stopped after step 13 (signal); step 13 is saved" in err
    code, out, _ = start_worker(tmp_path, 30).end()
    assert code == 0
    assert read_result(out) == undisturbed


def test_an_error_in_the_script_is_recorded_as_such(tmp_path):
    """A failing step ends the attempt with reason error and the script's own traceback."""
    from mlcost_hpc.train import Run

    def train():
        with Run(tmp_path, environment={}) as run:
            for step in run.steps(5):
                1 / (2 - step)

    with pytest.raises(ZeroDivisionError):
        train()
    (record,) = json.loads(f"[{(tmp_path / 'attempts' / 'local.0.json').read_text()}]")
    assert (record["reason"], record["reached_step"], record["last_step"]) == ("error", 2, 0)


def test_ctrl_c_saves_but_does_not_ask_for_a_requeue(tmp_path, start_worker):
    """A person who stops a run at the terminal gets exit code 130 and no requeue."""
    worker = start_worker(tmp_path, 30, "--hold-step", 3)
    worker.wait_for("holding")
    worker.process.send_signal(signal.SIGINT)
    code, _, err = worker.end("go on\n")
    assert code == 130, err
    assert not (tmp_path / "requeue-me").exists()
    assert store.list_checkpoints(tmp_path / "checkpoints")[0].step == 4
