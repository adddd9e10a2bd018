"""Writing, reading, checking and forgetting checkpoints."""

import os
import pickle
import resource
import signal
import socket

import pytest
import torch

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train import Checkpointer, checkpoint, store


def steps(folder):
    return [entry.step for entry in store.list_checkpoints(folder)]


def test_what_was_saved_is_read_back(tmp_path):
    """Tensors, numbers, text and nested containers come back equal."""
    shared = {"w": torch.arange(6).reshape(2, 3), "lr": 0.1, "names": ["a", ("b", None)]}
    keeper = Checkpointer(tmp_path)
    keeper.save(5, shared, {"rng": torch.get_rng_state()})
    restored, passed_over = keeper.restore()
    assert (restored.step, passed_over) == (5, [])
    assert torch.equal(restored.shared["w"], shared["w"])
    assert restored.shared["names"] == ["a", ("b", None)]
    assert torch.equal(restored.own["rng"], torch.get_rng_state())


def test_nothing_saved_restores_nothing(tmp_path):
    """A run that starts for the first time has no checkpoint and no warning."""
    assert Checkpointer(tmp_path / "none").restore() == (None, [])


def test_the_newest_two_stay(tmp_path):
    """keep_last keeps that many and no more."""
    keeper = Checkpointer(tmp_path, keep_last=2)
    for step in (1, 2, 3, 4):
        keeper.save(step, {})
    assert steps(tmp_path) == [4, 3]


def test_the_best_stays_besides_the_newest(tmp_path):
    """keep_best keeps the lowest score, however old; NaN is never best."""
    keeper = Checkpointer(tmp_path, keep_last=2, keep_best=1)
    for step, score in ((1, float("nan")), (2, 0.2), (3, 0.9), (4, 0.8), (5, 0.7)):
        keeper.save(step, {}, score=score)
    assert steps(tmp_path) == [5, 4, 2]


def test_one_checkpoint_is_not_enough(tmp_path):
    """keep_last=1 is refused: one bad block on the disk would lose the run."""
    with pytest.raises(UsageError, match="at least 2"):
        Checkpointer(tmp_path, keep_last=1)


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_remains(tmp_path):
    """A save that does not fit fails with one clear line; what was there stays whole."""
    keeper = Checkpointer(tmp_path)
    keeper.save(1, {"w": torch.zeros(10)})
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"step 2 could not be written .*File too large"):
            keeper.save(2, {"w": torch.zeros(1024 * 1024)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert [path.name for path in tmp_path.iterdir()] == [store.checkpoint_name(1)]
    assert keeper.restore()[0].step == 1


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: (path / "shared.pt").unlink(), "shared.pt is missing"),
        (lambda path: (path / "manifest.json").unlink(), "it has no manifest"),
        (lambda path: (path / "manifest.json").write_text("{"), "its manifest cannot be read"),
        (lambda path: (path / "shared.pt").write_bytes(b""), "shared.pt has 0 bytes instead of"),
        (lambda path: (path / "own-00000.pt").write_bytes(b"x" * 9), "own-00000.pt has"),
        (
            lambda path: path.rename(path.with_name(store.checkpoint_name(99))),
            "its manifest is that of step 2",
        ),
    ],
)
def test_every_kind_of_damage_is_named_and_passed_over(tmp_path, damage, problem):
    """A missing, cut, grown, unreadable or misnamed part makes the one before the newest valid one."""
    keeper = Checkpointer(tmp_path)
    keeper.save(1, {})
    damage(keeper.save(2, {}))
    restored, (passed_over,) = keeper.restore()
    assert restored.step == 1
    assert problem in passed_over.problem


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(tmp_path):
    """After falling back from a damaged step 2, the fallback stays until two whole ones are newer."""
    keeper = Checkpointer(tmp_path)
    keeper.save(1, {})
    bad = keeper.save(2, {"w": torch.ones(8)}) / "shared.pt"
    bad.write_bytes(bad.read_bytes()[:-1] + b"\xff")
    assert keeper.restore()[0].step == 1
    keeper.save(3, {})
    assert steps(tmp_path) == [3, 1]


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(tmp_path):
    """Coming again to the step whose checkpoint was damaged writes a good one under the name."""
    keeper = Checkpointer(tmp_path)
    keeper.save(1, {})
    (keeper.save(2, {}) / "shared.pt").write_bytes(b"broken")
    keeper.restore()
    keeper.save(2, {"x": 1})
    assert keeper.restore()[0].shared == {"x": 1}


def test_a_checkpoint_runs_no_code(tmp_path):
    """A planted pickle with a right checksum is refused, not run."""

    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "evil.pt"
    torch.save({"x": Evil()}, path)
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        checkpoint.read_state(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        checkpoint.read_state(path)
    assert not (tmp_path / "ran").exists()


def test_remains_of_living_writers_are_left_alone(tmp_path):
    """Only what a dead process or an earlier attempt of the same job left is removed."""
    host, tail = socket.gethostname(), "0" * 32
    living = tmp_path / f".tmp-9.0-{host}-{os.getpid()}-{tail}"
    dead = tmp_path / f".tmp-9.0-{host}-999999999-{tail}"
    elsewhere = tmp_path / f".tmp-8.0-other-node-1-{tail}"
    earlier = tmp_path / f".tmp-7.0-other-node-1-{tail}"
    for path in (living, dead, elsewhere, earlier):
        path.mkdir()
    assert sorted(store.remove_remains(tmp_path, "7.1")) == sorted([dead, earlier])
