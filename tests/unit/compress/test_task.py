"""Tasks from manifest to result."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.compress import task as tasks
from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import Manifest, expand
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.records import Result


@pytest.fixture
def batch(tmp_path: Path, labelled: Path) -> Batch:
    """A batch of one task."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "p"\nrecipes = ["int8-dynamic"]\nbatches = [1, 8]\n'
        '[[model]]\nname = "linear"\nonnx = "linear.onnx"\ndata = "data.npz"\n'
    )
    made = Batch(tmp_path / "batch")
    made.write_manifest(expand(load_plan(plan), plan))
    return made


def write_work(batch: Batch, manifest: Manifest) -> Path:
    path = batch.folder / "work.json"
    packs = tuple((task.id,) for task in manifest.tasks)
    path.write_bytes(msgspec.json.encode(tasks.Work(batch=str(batch.folder), packs=packs)))
    return path


def test_an_array_task_writes_one_whole_row(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program of the array does its index and leaves result, artefact and log."""
    manifest = batch.manifest()
    monkeypatch.setenv("MLCOST_TASK_ID", "0")
    assert tasks.main(["--work", str(write_work(batch, manifest))]) == 0
    row = batch.row(manifest.tasks[0])
    assert row is not None
    assert row.shrink is not None
    assert row.shrink > 3
    assert row.score is not None
    assert row.score.before == 1.0
    assert [item.batch for item in row.latency] == [1, 8]
    assert row.changed["MatMulInteger"] == 2
    assert (batch.folder / row.artefact).stat().st_size == row.size_after
    assert row.place is not None
    assert row.place.threads == 1
    assert batch.folder.stat().st_mode & 0o077 == 0
    assert not list(batch.folder.rglob(".*")), "temporary files are left"


def test_nothing_is_kept_or_sent_for_telemetry(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The runtime's own usage reports are off: no store of them appears in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    (tmp_path / "home").mkdir()
    manifest = batch.manifest()
    assert tasks.do_task(batch, manifest, manifest.tasks[0]).score is not None
    assert not list((tmp_path / "home").rglob("*nnxruntime*"))


def test_a_finished_task_is_not_done_again(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run keeps the row it finds."""
    manifest = batch.manifest()
    row = Result(
        task=manifest.tasks[0].id, model="linear", recipe="int8-dynamic", status="no-op", reason="kept"
    )
    batch.write_result(row)
    assert tasks.do_task(batch, manifest, manifest.tasks[0]) == row


def test_a_model_that_has_changed_since_is_a_failed_row(batch: Batch, tmp_path: Path) -> None:
    """The row names the file; nothing else is lost."""
    manifest = batch.manifest()
    (tmp_path / "linear.onnx").write_bytes(b"other")
    row = tasks.do_task(batch, manifest, manifest.tasks[0])
    assert (row.status, row.cause) == ("failed", "model")
    assert "linear.onnx has changed since this batch was planned" in row.reason


def kill_self(folder: str, task_id: str, share: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(folder: str, task_id: str, share: float) -> None:
    os.abort()


def hang(folder: str, task_id: str, share: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pause()


@pytest.mark.parametrize(
    ("behaviour", "minutes", "cause"), [(kill_self, 1.0, "memory"), (crash, 1.0, "crash")]
)
def test_a_task_that_dies_is_a_failed_row(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, behaviour: object, minutes: float, cause: str
) -> None:
    """Killed by the kernel or crashed in a library: the row says which, and the pack goes on."""
    monkeypatch.setattr(tasks, "_child", behaviour)
    manifest = msgspec.structs.replace(batch.manifest(), task_minutes=minutes)
    row = tasks.do_task(batch, manifest, manifest.tasks[0])
    assert (row.status, row.cause) == ("failed", cause)
    assert row.next_step


def ended_after_a_candidate(folder: str, task_id: str, share: float) -> None:
    """Find a candidate that is slower, or one within the limits, then crash."""
    status = Path(folder, "status").read_text()
    row = Result(task=task_id, model="linear", recipe="r", status=status, reason="quick", artefact="a.onnx")
    Batch(Path(folder)).write_so_far(row)
    os.abort()


@pytest.mark.parametrize(("status", "expected"), [("slower", "slower"), ("wrong", "wrong"), ("ok", "failed")])
def test_the_best_candidate_of_a_task_that_was_ended_is_kept(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, status: str, expected: str
) -> None:
    """Its file stays named in the row; a quick look alone makes no success."""
    (batch.folder / "status").write_text(status)
    monkeypatch.setattr(tasks, "_child", ended_after_a_candidate)
    manifest = batch.manifest()
    row = tasks.do_task(batch, manifest, manifest.tasks[0])
    assert (row.status, row.artefact) == (expected, "a.onnx")
    assert "crashed" in row.reason + "".join(row.notes)


def test_out_of_memory_may_run_again_a_crash_may_not(batch: Batch) -> None:
    """A second submit repeats what may go better, not what cannot."""
    row = Result(task="t", model="m", recipe="r", status="failed", reason="", cause="memory")
    assert tasks.should_rerun(row)
    assert not tasks.should_rerun(msgspec.structs.replace(row, cause="crash"))
    assert not tasks.should_rerun(msgspec.structs.replace(row, status="wrong", cause=""))


def short_of_memory(folder: str, task_id: str, share: float) -> None:
    """Need too much unless only half of the samples are taken."""
    if share > 0.5:
        os._exit(tasks.EXIT_OUT_OF_MEMORY)
    row = Result(task=task_id, model="linear", recipe="r", status="ok", reason=f"with {share} of the samples")
    Batch(Path(folder)).write_result(row)


def test_a_task_short_of_memory_tries_again_with_fewer_samples(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibration that does not fit is done with half of the samples before it is given up."""
    monkeypatch.setattr(tasks, "_child", short_of_memory)
    manifest = batch.manifest()
    assert tasks.do_task(batch, manifest, manifest.tasks[0]).reason == "with 0.5 of the samples"


def told_to_stop(folder: str, task_id: str, share: float) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_preempted_task_leaves_no_row_and_asks_for_a_requeue(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal Slurm sends to all processes is no failure of the task."""
    monkeypatch.setattr(tasks, "_child", told_to_stop)
    manifest = batch.manifest()
    with pytest.raises(SystemExit) as left:
        tasks.do_task(batch, manifest, manifest.tasks[0])
    assert left.value.code == 85
    assert batch.row(manifest.tasks[0]) is None


def test_a_task_that_takes_too_long_is_ended(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that hangs costs its own row only, even when it ignores being told to stop."""
    monkeypatch.setattr(tasks, "_child", hang)
    monkeypatch.setattr(tasks, "PATIENCE_S", 1.0)
    manifest = msgspec.structs.replace(batch.manifest(), task_minutes=0.05)
    row = tasks.do_task(batch, manifest, manifest.tasks[0])
    assert (row.status, row.cause) == ("failed", "time")


def test_work_ends_with_its_parent(batch: Batch) -> None:
    """A pack that is killed outright leaves no process that works on."""
    manifest = batch.manifest()
    work = write_work(batch, manifest)
    program = [sys.executable, "-m", "mlcost_hpc.compress.task", "--work", str(work), "--index", "0"]
    parent = subprocess.Popen(program)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    log = batch.task_folder(manifest.tasks[0].id) / "log.txt"
    while parent.poll() is None and not log.exists():
        time.sleep(0.02)
    ids = children.read_text().split()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(is_at_work(number) for number in ids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_at_work(number) for number in ids)


def is_at_work(number: str) -> bool:
    """Return whether a process works on a task (the resource tracker does not, and ends by itself)."""
    try:
        return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("index", ["", "7", "x"])
def test_a_wrong_array_index_is_wrong_usage(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], index: str
) -> None:
    """The message says what is wrong with it; the exit code is 2."""
    monkeypatch.setenv("MLCOST_TASK_ID", index)
    assert tasks.main(["--work", str(write_work(batch, batch.manifest()))]) == 2
    assert "array" in capsys.readouterr().err
