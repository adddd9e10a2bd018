"""The worker inside a job, run as Slurm would run it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import submitit
from submitit.core.utils import DelayedSubmission

PROGRAM = """
import sys, time
from pathlib import Path

def answer(): return 42
def fail(): raise ValueError("no")
def wants_more(): sys.exit(85)
def leaves(): sys.exit(3)

class Counter:
    def __init__(self, start): self.start = start
    def __call__(self, flag):
        Path(flag).write_text(str(self.start))
        time.sleep(60)
    def checkpoint(self, flag):
        from submitit.helpers import DelayedSubmission
        return DelayedSubmission(Counter(self.start + 7), flag)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module `work`, importable here and in the worker."""
    (tmp_path / "work.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "work", raising=False)
    return tmp_path


def start(folder: Path, submission: DelayedSubmission) -> subprocess.Popen[str]:
    submission.dump(folder / "9_submitted.pkl")
    environment = {**os.environ, "PYTHONPATH": str(folder), "SLURM_JOB_ID": "9"}
    return subprocess.Popen(
        [sys.executable, "-m", "mlcost_hpc.launch.worker", str(folder)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(folder: Path, name: str) -> int:
    import work  # type: ignore[import-not-found]

    process = start(folder, DelayedSubmission(getattr(work, name)))
    process.communicate(timeout=60)
    return process.returncode


def test_result_is_where_submitit_looks(folder: Path) -> None:
    """job.result() of submitit gives what the function returned."""
    assert finish(folder, "answer") == 0
    assert submitit.SlurmJob(folder=folder, job_id="9").result() == 42


def test_exception_is_where_submitit_looks(folder: Path) -> None:
    """A function that raises fails the job, and submitit shows its traceback."""
    assert finish(folder, "fail") == 1
    assert "ValueError: no" in str(submitit.SlurmJob(folder=folder, job_id="9").exception())


def test_wish_to_go_on_leaves_no_result(folder: Path) -> None:
    """Exit code 85 passes through and no result is written: the job is not over."""
    assert finish(folder, "wants_more") == 85
    assert not (folder / "9_0_result.pkl").exists()


def test_other_exit_codes_pass_through_as_errors(folder: Path) -> None:
    """A function that leaves with another code fails the job with that code."""
    assert finish(folder, "leaves") == 3
    assert (folder / "9_0_result.pkl").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_checkpointable_is_asked_for_its_successor(folder: Path, number: signal.Signals) -> None:
    """On TERM as on USR2 submitit's checkpoint() is called once, and its successor is what runs next."""
    import work

    flag = folder / "flag"
    process = start(folder, DelayedSubmission(work.Counter(0), str(flag)))
    deadline = time.monotonic() + 60
    while not flag.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 85
    assert DelayedSubmission.load(folder / "9_submitted.pkl").function.start == 7
    assert [path.name for path in folder.iterdir() if path.name.startswith(".9")] == []
