"""Saving beside the training."""

import os
import threading

import pytest
import torch

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import Run, checkpoint, memory, saver, store
from mlcost_hpc.train.attempts import read_attempts
from mlcost_hpc.train.background import BackgroundWriter, Stage
from mlcost_hpc.train.statefile import read_state


def test_the_copy_is_apart_from_the_original_and_keeps_its_ties():
    """Training changes the weights while the copy is written; tied weights stay tied, views stay views."""
    weight = torch.arange(12.0).reshape(3, 4)
    tree = {"a": weight, "b": weight, "t": weight.t(), "row": weight[1], "n": [1, ("x", None)]}
    copy = Stage().copy(tree)
    expected = {key: value.clone() for key, value in tree.items() if isinstance(value, torch.Tensor)}
    weight.zero_()
    assert all(torch.equal(copy[key], value) for key, value in expected.items())
    assert len({copy[key].untyped_storage().data_ptr() for key in expected}) == 1
    assert copy["n"] == [1, ("x", None)]


def test_the_memory_of_the_copy_is_used_again():
    """Ten saves of one state hold one copy, not ten; a smaller state gives memory back."""
    stage = Stage()
    state = {"w": torch.ones(1000), "v": torch.ones(500)}
    pointers = {stage.copy(state)["w"].data_ptr() for _ in range(10)}
    assert len(pointers) == 1
    assert stage.size == 6000
    stage.copy({"w": torch.ones(10)})
    assert stage.size == 40


def test_a_cancelled_save_ends_and_a_failing_one_is_told():
    """The writer hands over the error of its thread, once."""
    writer = BackgroundWriter()
    started = threading.Event()

    def until_cancelled(cancelled):
        started.set()
        cancelled.wait()
        raise InterruptedError

    writer.start(3, until_cancelled)
    started.wait()
    assert writer.is_busy
    assert writer.take_outcome() is None
    writer.cancel()
    outcome = writer.take_outcome()
    assert (outcome.step, type(outcome.error)) == (3, InterruptedError)
    assert writer.take_outcome() is None


def train(folder, total, **options):
    model = torch.nn.Linear(4, 4)
    with Run(folder, save_every=2, environment={}, **options) as run:
        run.state(model=model)
        for _ in run.steps(total):
            with torch.no_grad():
                model.weight += 1


def test_a_save_in_the_background_holds_the_state_of_its_step(tmp_path, monkeypatch):
    """The weights in the checkpoint of step 2 are those after step 2, though training went on meanwhile."""
    release = threading.Event()
    write = checkpoint.write_state

    def write_late(path, state, cancelled=None):
        if threading.current_thread() is not threading.main_thread():
            release.wait(10)
        return write(path, state, cancelled)

    monkeypatch.setattr(checkpoint, "write_state", write_late)
    model = torch.nn.Linear(4, 4)
    before = model.weight.detach().clone()
    with Run(tmp_path, save_every=2, saves="background", environment={}) as run:
        run.state(model=model)
        for step in run.steps(4):
            with torch.no_grad():
                model.weight += 1
            if step == 3:
                release.set()
    entries = {entry.step: entry for entry in store.list_checkpoints(tmp_path / "checkpoints")}
    saved = read_state(entries[2].path / "shared.pt")["states"]["model"]["weight"]
    assert torch.equal(saved, before + 1 + 1)
    assert set(entries) == {2, 4}


@pytest.mark.parametrize("way", ["background", "blocking"])
def test_failing_saves_do_not_stop_the_training(tmp_path, monkeypatch, way):
    """Every save fails, training reaches its end, and the record says what happened."""

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_state", fail)
    train(tmp_path, 5, saves=way)
    (attempt,) = read_attempts(tmp_path)
    assert (attempt.reason, attempt.reached_step, attempt.last_step) == ("finished", 5, 0)
    assert "No space left on device" in attempt.warnings[0]


def test_auto_goes_by_size_and_memory(tmp_path, monkeypatch):
    """Small states are written at once; large ones in a thread, unless memory is short."""
    ways = []
    start = BackgroundWriter.start
    monkeypatch.setattr(BackgroundWriter, "start", lambda *a: (ways.append("thread"), start(*a))[1])
    train(tmp_path / "small", 5)
    assert ways == []
    monkeypatch.setattr(saver, "WORTH_A_THREAD", 1)
    train(tmp_path / "large", 5)
    assert ways
    ways.clear()
    monkeypatch.setattr(saver, "free_memory", lambda: 10)
    train(tmp_path / "short", 5)
    assert ways == []


def test_free_memory_is_the_least_of_machine_and_control_groups(tmp_path):
    """The limit of a job's group, or of one above it, counts when it is nearer than the machine's end."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    assert memory.free_memory(tmp_path) == 8000 * 1024
    step = tmp_path / "sys/fs/cgroup/job/step"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("max\n")
    (step / "memory.current").write_text("5\n")
    (step.parent / "memory.max").write_text("1000\n")
    (step.parent / "memory.current").write_text("400\n")
    assert memory.free_memory(tmp_path) == 600


def test_optional_state_that_was_not_saved_starts_afresh(tmp_path):
    """A checkpoint without it restores the rest, with a warning in the record."""
    from mlcost_hpc.train.bundle import Bundle
    from mlcost_hpc.train.checkpoint import Checkpointer

    def bundle(value):
        made = Bundle()
        made.required.add("model", torch.nn.Linear(1, 1))
        average = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(average.weight, value)
        made.optional.add("average", average)
        return made, average

    one, _ = bundle(5.0)
    keeper = Checkpointer(tmp_path)
    for snapshot in (one.capture(1, None), one.capture(2, None).without_optional()):
        keeper.save(snapshot.step, snapshot.shared, snapshot.own, optional=snapshot.optional)
    two, average = bundle(7.0)
    (warning,) = two.load(keeper.restore()[0])
    assert "optional state" in warning
    assert average.weight.item() == 7.0
    (tmp_path / store.checkpoint_name(2) / "manifest.json").unlink()
    assert two.load(keeper.restore()[0]) == []
    assert average.weight.item() == 5.0


def test_a_way_that_does_not_exist_is_refused(tmp_path):
    """The three words are in the message."""
    from mlcost_hpc.errors import UsageError

    with pytest.raises(UsageError, match='"auto", "background" or "blocking"'):
        train(tmp_path, 1, saves="sideways")


def test_a_restore_that_does_not_fit_is_an_error_of_the_run(tmp_path):
    """A model of another shape is one clear error that names it."""
    train(tmp_path, 3)
    with Run(tmp_path, environment={}) as run:
        run.state(model=torch.nn.Linear(2, 2))
        with pytest.raises(CheckpointError, match="does not fit model"):
            run.restore()


def test_memory_for_the_copy_is_there_before_the_first_save():
    """What was prepared beside the training is what the first copy goes into."""
    stage = Stage()
    state = {"w": torch.ones(1000), "again": torch.ones(1000).t(), "n": 1, "row": [torch.ones(5)]}
    stage.prepare(state)
    stage._preparing.join()
    prepared = [buffer.data_ptr() for buffer in stage._buffers]
    copy = stage.copy(state)
    assert [copy["w"].data_ptr(), copy["again"].data_ptr(), copy["row"][0].data_ptr()] == prepared
    assert torch.equal(copy["w"], state["w"])


def test_the_writing_thread_stands_back():
    """The thread that writes has a lower priority than the training, and the training keeps its own."""
    found = []
    writer = BackgroundWriter()
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    writer.start(1, lambda _: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    writer.wait()
    assert found[0] > mine or mine == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_a_large_save_gives_up_in_the_middle(tmp_path):
    """The wish to give up is looked at within a large tensor, not only between tensors."""
    from mlcost_hpc.train.statefile import _PIECE, write_state

    class AfterTwoPieces:
        looks = 0

        def is_set(self):
            self.looks += 1
            return (tmp_path / "x.pt").stat().st_size >= _PIECE

    asked = AfterTwoPieces()
    with pytest.raises(InterruptedError):
        write_state(tmp_path / "x.pt", {"w": torch.zeros(8 * _PIECE, dtype=torch.uint8)}, asked)
    assert (tmp_path / "x.pt").stat().st_size < 4 * _PIECE
