"""Two attempts of one run at once: the later one has the folder."""

from __future__ import annotations

import pytest
import torch

from mlcost_hpc.errors import SupersededError
from mlcost_hpc.train import Checkpointer, store
from mlcost_hpc.train.attempts import read_attempts


def steps(folder):
    return [entry.step for entry in store.list_checkpoints(folder)]


def test_the_earlier_attempt_writes_no_more_once_a_later_one_has_begun(tmp_path):
    """Its save is refused and leaves nothing; the later one's checkpoints are as they were."""
    old = Checkpointer(tmp_path, owner="7.0")
    old.restore()
    old.save(1, {"by": "old"})
    new = Checkpointer(tmp_path, owner="7.1")
    assert new.restore()[0].step == 1
    new.save(2, {"by": "new"})
    for step in (2, 3):
        with pytest.raises(SupersededError, match=r"attempt 7\.1 has taken over"):
            old.save(step, {"by": "old"})
    assert steps(tmp_path) == [2, 1]
    assert Checkpointer(tmp_path, owner="7.2").restore()[0].shared == {"by": "new"}
    assert not list(tmp_path.glob(".tmp-*"))


def test_an_earlier_attempt_that_wakes_up_late_is_refused_at_once(tmp_path):
    """The restart count decides within a job, not who came last."""
    Checkpointer(tmp_path, owner="7.10").restore()
    with pytest.raises(SupersededError):
        Checkpointer(tmp_path, owner="7.9").restore()


def test_another_job_takes_the_folder_over(tmp_path):
    """A second job on the same run folder goes on with it; the first one stops writing."""
    first = Checkpointer(tmp_path, owner="7.3")
    first.restore()
    Checkpointer(tmp_path, owner="8.0").restore()
    with pytest.raises(SupersededError):
        first.save(1, {})


@pytest.mark.parametrize("saves", ["blocking", "background"])
def test_a_run_that_was_taken_over_stops_and_asks_for_nothing(tmp_path, start_worker, saves):
    """It leaves with an error, without the mark of a finished run and without asking to be requeued."""
    job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "0"}
    options = ("--save-every", 10, "--saves", saves)
    old = start_worker(tmp_path, 30, *options, "--hold-step", 15, environment=job)
    old.wait_for("holding")
    new = start_worker(tmp_path, 30, *options, environment=job | {"SLURM_RESTART_COUNT": "1"})
    assert new.end()[0] == 0
    finished = (tmp_path / "finished.json").read_bytes()
    before = {entry.path: (entry.path / "shared.pt").stat().st_mtime_ns for entry in entries(tmp_path)}
    code, _, err = old.end("go on\n")
    assert (code, "attempt 7.1 has taken over" in err) == (1, True)
    assert {attempt.restart: attempt.reason for attempt in read_attempts(tmp_path)} == {
        0: "superseded",
        1: "finished",
    }
    assert {
        entry.path: (entry.path / "shared.pt").stat().st_mtime_ns for entry in entries(tmp_path)
    } == before
    assert (tmp_path / "finished.json").read_bytes() == finished
    assert not (tmp_path / "requeue-me").exists()


def entries(folder):
    return store.list_checkpoints(folder / "checkpoints")


def test_a_folder_that_cannot_be_taken_is_trained_in_all_the_same(tmp_path, monkeypatch):
    """On a full disk there is no fence, and no reason to stop."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlcost_hpc.train.fence.atomic.write_file", fail)
    keeper = Checkpointer(tmp_path, owner="7.0")
    keeper.restore()
    monkeypatch.undo()
    keeper.save(1, {"w": torch.ones(1)})
    assert steps(tmp_path) == [1]
