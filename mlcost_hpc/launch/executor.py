"""submitit with our batch scripts: single jobs and arrays alike, and our worker instead of its own."""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import submitit

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.launch.environment import submission_environment
from mlcost_hpc.slurm.process import run_as_is

if TYPE_CHECKING:
    from pathlib import Path

    from submitit.core import utils as submitit_utils

_JOB_ID = re.compile(r"(?P<id>\d+)(;[^;\s]+)?")

Text = Callable[[Sequence[str], int], str]
"""(words of the command, number of array tasks or 0) -> text of the batch script."""


class RenderingExecutor(submitit.SlurmExecutor):
    """A submitit executor whose batch scripts come from a function.

    submitit makes a plain ``SlurmExecutor`` for arrays, past every subclass, and its worker installs signal
    handlers that requeue; both are replaced here.

    Args:
        folder: where pickles, results and batch scripts go; made private when it is missing.
        text: makes the batch script.
        timeout_s: seconds after which sbatch is given up.
    """

    script_name = "job.sbatch"
    """Name of the batch script in the folder; ``%j`` is the job id."""

    def __init__(self, folder: Path, text: Text, *, timeout_s: float = 60.0) -> None:
        super().__init__(folder=folder)
        self._text = text
        self._timeout_s = timeout_s
        # Its pause between submissions spares a controller that gets thousands; we send arrays.
        self._throttling = 0.0

    @classmethod
    def name(cls) -> str:
        """Return the name under which jobs find submitit's Slurm environment."""
        return "slurm"

    @classmethod
    def affinity(cls) -> int:
        """Return that this can be used; a missing sbatch is reported in full when it is called."""
        return 2

    def submit_words(self, words: Sequence[str], array_tasks: int = 0) -> str:
        """Submit a command line and return the job id.

        Args:
            words: the command.
            array_tasks: tasks of an array that all run the command; 0 = one job.

        Raises:
            SlurmError: when sbatch fails; its own words are in the message.
        """
        make_folder(self.folder)
        script = self.folder / f".{uuid.uuid4().hex}.sbatch"
        script.write_text(self._text(words, array_tasks), encoding="utf-8")
        try:
            job_id = self._sbatch(script)
        except BaseException:
            script.unlink()
            raise
        script.rename(self.folder / self.script_name.replace("%j", job_id))
        return job_id

    def _internal_process_submissions(
        self, delayed_submissions: Sequence[submitit_utils.DelayedSubmission]
    ) -> list[submitit.Job[Any]]:
        pickles = []
        make_folder(self.folder)
        for delayed in delayed_submissions:
            pickle = self.folder / f"{uuid.uuid4().hex}.pkl"
            delayed.dump(pickle)
            pickles.append(pickle)
        count = len(pickles) if len(pickles) > 1 else 0
        try:
            main_id = self.submit_words(worker_command(self.folder), count)
        except BaseException:
            for pickle in pickles:
                pickle.unlink()
            raise
        names = [f"{main_id}_{index}" for index in range(count)] if count else [main_id]
        tasks = list(range(self._num_tasks()))
        jobs: list[submitit.Job[Any]] = [
            self.job_class(folder=self.folder, job_id=name, tasks=tasks) for name in names
        ]
        for job, pickle in zip(jobs, pickles, strict=True):
            job.paths.move_temporary_file(pickle, "submitted_pickle")
        return jobs

    def _sbatch(self, script: Path) -> str:
        return sbatch([str(script)], self._timeout_s)


def sbatch(words: Sequence[str], timeout_s: float) -> str:
    """Run sbatch in a clean environment and return the job id.

    Raises:
        SlurmError: when it fails; its own words are in the message.
    """
    output = run_as_is(
        ["sbatch", "--parsable", *words], timeout_s=timeout_s, environ=submission_environment(os.environ)
    )
    answer = output.stdout.split()
    match = _JOB_ID.fullmatch(answer[-1]) if answer else None
    if match is None:
        raise SlurmAnswerError(f"sbatch did not name the job: {output.stdout!r}")
    return match["id"]


def worker_command(folder: Path) -> list[str]:
    """Return the words that start our worker on a folder of pickles."""
    return [sys.executable, "-u", "-m", "mlcost_hpc.launch.worker", str(folder)]


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner can read: sbatch does not make it, and the job fails silently."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
