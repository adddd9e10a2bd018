"""submitit with our batch scripts: single jobs and arrays alike, and our worker instead of its own."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import submitit
from submitit.core.utils import JobPaths

from mlcost_hpc.errors import SlurmError
from mlcost_hpc.launch.array import Part, split

if TYPE_CHECKING:
    from pathlib import Path

    from submitit.core import utils as submitit_utils

    from mlcost_hpc.launch.sending import Sender

Submit = Callable[[Sequence[str], Part], str]
"""(words of the command, the tasks that run it) -> id of the job that was submitted."""

ONE_JOB = Part()
SCRIPT = "job.sbatch"
"""Name of the batch script in a run folder."""


class RenderingExecutor(submitit.SlurmExecutor):
    """A submitit executor whose batch scripts come from a function of ours.

    submitit makes a plain ``SlurmExecutor`` for arrays, past every subclass, refuses arrays that are larger
    than the site allows, and its worker installs signal handlers that requeue; all of that is replaced here.

    Args:
        folder: where pickles and results go; made private when it is missing.
        submit: submits the worker.
        sender: cancels what cannot be submitted whole.

    Attributes:
        base: the folder, or the one above the first that has a job's id in its name (``logs/%j``).
    """

    def __init__(self, folder: Path, submit: Submit, sender: Sender) -> None:
        super().__init__(folder=folder)
        self.base = JobPaths.get_first_id_independent_folder(self.folder)
        self._submit = submit
        self._sender = sender
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

    @property
    def largest_array(self) -> int:
        """Most tasks of one array; Slurm's default where nothing else is known."""
        return 1001

    def _internal_process_submissions(
        self, delayed_submissions: Sequence[submitit_utils.DelayedSubmission]
    ) -> list[submitit.Job[Any]]:
        make_folder(self.base)
        pickles = []
        for delayed in delayed_submissions:
            pickle = self.base / f"{uuid.uuid4().hex}.pkl"
            delayed.dump(pickle)
            pickles.append(pickle)
        parts = split(len(pickles), self.largest_array) if len(pickles) > 1 else [ONE_JOB]
        jobs: list[submitit.Job[Any]] = []
        sent: list[str] = []
        try:
            for part in parts:
                after = sent[-1] if sent else ""
                part_after = msgspec.structs.replace(part, after=after)
                sent.append(self._submit(worker_command(self.folder), part_after))
                # At once: its tasks may run already and wait for their pickles.
                jobs += self._jobs(sent[-1], part, pickles[part.first :])
        except BaseException:
            self._take_back(sent, [*pickles, *(job.paths.submitted_pickle for job in jobs)])
            raise
        return jobs

    def _jobs(self, main_id: str, part: Part, pickles: Sequence[Path]) -> list[submitit.Job[Any]]:
        """Return the jobs of a part, their pickles where they look for them."""
        names = [f"{main_id}_{index}" for index in range(part.tasks)] or [main_id]
        tasks = list(range(self._num_tasks()))
        jobs: list[submitit.Job[Any]] = [
            self.job_class(folder=self.folder, job_id=name, tasks=tasks) for name in names
        ]
        for job, pickle in zip(jobs, pickles, strict=False):  # those of later parts remain
            job.paths.move_temporary_file(pickle, "submitted_pickle")
            log = job.paths.stdout
            if log.parent != self.base:
                # The log is written where there is a folder before the job's id is known.
                log.symlink_to(self.base / log.name)
        return jobs

    def _take_back(self, sent: Sequence[str], pickles: Sequence[Path]) -> None:
        """Leave nothing behind of an array of which a later part was refused."""
        with suppress(SlurmError):
            self._sender.cancel(sent)
        for pickle in pickles:
            pickle.unlink(missing_ok=True)


def send_text(
    text: bytes,
    folder: Path,
    name: str,
    sender: Sender,
    options: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> str:
    """Submit the text of a batch script from a folder, keep it there, and return the job id.

    Args:
        text: the script.
        folder: where it is kept.
        name: its name there; ``%j`` is the job id.
        sender: sends it.
        options: options of sbatch.
        arguments: arguments of the script.

    Raises:
        SlurmError: when sbatch fails; its own words are in the message.
    """
    script = folder.absolute() / f".{uuid.uuid4().hex}.sbatch"
    script.write_bytes(text)
    try:
        job_id = sender.send(script, options, arguments)
    except BaseException:
        script.unlink()
        raise
    script.rename(folder / name.replace("%j", job_id))
    return job_id


def worker_command(folder: Path) -> list[str]:
    """Return the words that start our worker on a folder of pickles."""
    return [sys.executable, "-u", "-m", "mlcost_hpc.launch.worker", str(folder)]


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner can read: sbatch does not make it, and the job fails silently."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
