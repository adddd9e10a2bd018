"""Runs one pickled submission inside a job: ``python -m mlcost_hpc.launch.worker FOLDER``.

It reads and writes submitit's files, so ``job.result()`` works as its users know it. submitit's signal
handlers are not installed: the batch script owns the requeue. A function that leaves with exit code 85 (our
training loop) has saved and gets another go; one with submitit's ``checkpoint`` method is asked for its
successor on the first signal, which is stored whole or not at all before the worker leaves with 85.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]
from submitit.core.utils import DelayedSubmission
from submitit.slurm.slurm import SlurmJobEnvironment

from mlcost_hpc.launch.script import EXIT_REQUEUE

if TYPE_CHECKING:
    from types import FrameType

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
_LONGEST_WAIT_S = 60


def main(folder: Path) -> None:
    """Run the submission of this job's id and rank, and leave its result beside it."""
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    os.environ["SUBMITIT_EXECUTOR"] = "slurm"
    environment = SlurmJobEnvironment()
    paths = environment.paths
    _wait_for(paths.submitted_pickle)
    try:
        submission = DelayedSubmission.load(paths.submitted_pickle)
        if hasattr(submission.function, "checkpoint"):
            _checkpoint_on_signal(submission, paths.submitted_pickle, rank=environment.global_rank)
        result = submission.result()
    except SystemExit as leaving:
        if leaving.code == EXIT_REQUEUE:
            raise
        if leaving.code not in (None, 0):
            _store(("error", traceback.format_exc()), paths.result_pickle)
            raise
        result = None
    except BaseException:
        _store(("error", traceback.format_exc()), paths.result_pickle)
        raise
    _store(("success", result), paths.result_pickle)


def _wait_for(path: Path) -> None:
    """Wait until the submitter has put the pickle in place: it learns the job's id after the job exists."""
    give_up_at = time.monotonic() + _LONGEST_WAIT_S
    while not path.exists():
        if time.monotonic() > give_up_at:
            sys.exit(f"mlcost: {path} did not appear within {_LONGEST_WAIT_S} s")
        time.sleep(0.2)


def _checkpoint_on_signal(submission: DelayedSubmission, path: Path, *, rank: int) -> None:
    owner = os.getpid()

    def leave(_number: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if os.getpid() == owner and rank == 0:
            successor = submission._checkpoint_function()
            if successor is None:
                sys.exit(1)
            _store(successor, path)
        os._exit(EXIT_REQUEUE)

    for number in _STOP_SIGNALS:
        signal.signal(number, leave)


def _store(content: Any, path: Path) -> None:
    """Write a pickle that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            cloudpickle.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
