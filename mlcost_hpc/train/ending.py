"""How a run leaves: the reason found out, the record closed, the exit code agreed with the batch script."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.train import stopping
from mlcost_hpc.train.finished import write_finished
from mlcost_hpc.train.requeue import EXIT_REQUEUE, ask_for_requeue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlcost_hpc.train.attempts import Reason
    from mlcost_hpc.train.journal import Journal
    from mlcost_hpc.train.requeue import StopSignal

_SIGNAL_LAG_S = 1.0
"""How much later than a neighbour's death the signal that caused it may reach this process."""


class Stopped(SystemExit):
    """The run leaves on purpose before its last step; the process ends with this exit code."""


class Progress(NamedTuple):
    """How far a run got.

    Attributes:
        step: steps done.
        saved_step: steps safe in a checkpoint.
        steps_per_second: None before the first step.
        note: the script's own reason to stop, if it gave one.
    """

    step: int
    saved_step: int
    steps_per_second: float | None
    note: str | None


class Ending:
    """Ends a run in one of the ways the batch script understands.

    Args:
        folder: the run folder.
        journal: the record of the attempt.
        stop_signal: what told the run to stop.
        environment: the process environment.
        is_first: whether this process writes what is written once.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        stop_signal: StopSignal,
        *,
        environment: Mapping[str, str] = os.environ,
        is_first: bool,
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._signal = stop_signal
        self._environment = environment
        self._is_first = is_first

    @property
    def _is_interrupt(self) -> bool:
        return self._signal.received is signal.SIGINT

    def ask_why(self) -> tuple[Reason, float]:
        """Return why the run is being stopped and how many seconds remain until the kill."""
        is_slurm = "SLURM_JOB_ID" in self._environment and not self._is_interrupt
        job = stopping.ask_slurm(self._journal.attempt.job_id) if is_slurm else None
        now = time.time()
        received_at = self._signal.received_at or time.monotonic()
        return (
            stopping.find_reason(self._signal.received, self._environment, job, now),
            stopping.find_seconds_left(received_at, self._environment, job, now=now),
        )

    def is_stop_to_blame(self, error: BaseException) -> bool:
        """Return whether a stop has broken the step (peers gone, loaders killed), not the script itself."""
        if "SLURM_JOB_ID" in self._environment and isinstance(error, Exception):
            self._signal.wait(_SIGNAL_LAG_S)
        return self._signal.is_set

    def leave(self, reason: Reason, code: int, progress: Progress) -> None:
        """Close the record and end the process; the batch script does the rest.

        Raises:
            Stopped: always.
        """
        if code == EXIT_REQUEUE and self._is_interrupt:
            code = 128 + signal.SIGINT
        self._journal.close(reason, reached_step=progress.step, steps_per_second=progress.steps_per_second)
        self._journal.say(
            f"stopped after step {progress.step} ({progress.note or reason}); "
            f"step {progress.saved_step} is saved"
        )
        if code == EXIT_REQUEUE and self._is_first:
            try:
                ask_for_requeue(self._folder, self._journal.attempt)
            except OSError as error:
                self._journal.warn(f"the wish to be requeued cannot be written: {error}")
        self._signal.release_children()
        raise Stopped(code)

    def finish(self, total: int, progress: Progress) -> None:
        """Leave the mark that makes another start cost nothing, and close the record."""
        if self._is_first:
            try:
                write_finished(self._folder, step=progress.step, total_steps=total, note=progress.note)
            except OSError as error:
                self._journal.warn(f"the mark of a finished run cannot be written: {error}")
        self._journal.close(
            "finished", reached_step=progress.step, steps_per_second=progress.steps_per_second
        )
        note = f" ({progress.note})" if progress.note else ""
        self._journal.say(f"finished after step {progress.step}{note}")
