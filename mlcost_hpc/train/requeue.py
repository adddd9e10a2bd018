"""Being told to stop: the signals Slurm sends, and the agreed way to ask for another go.

The batch script is the one owner of requeueing. The training process only notices that it should stop,
saves at the end of a step, and leaves with :data:`EXIT_REQUEUE`. torchrun hides the exit codes of its
workers, so the same wish is also left as a file, :func:`ask_for_requeue`.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from mlcost_hpc.train import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import FrameType, TracebackType

    from mlcost_hpc.train.attempts import Attempt

EXIT_REQUEUE = 85
"""Exit code of a training process that has saved and wants to be requeued."""

EXIT_BUDGET = 4
"""Exit code of a training process that stopped because its budget is spent; not to be requeued."""

REQUEUE_FILE = "requeue-me"
"""File in the run folder with the attempt (``<job id>.<restart>``) that asks to be requeued."""

FINISHED_FILE = "finished.json"
"""File in the run folder that says that there is nothing left to do."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""What Slurm sends before it kills. USR1 is left alone because NCCL uses it."""

_OBEY, _SHIELD = 0, 1


class StopSignal:
    """Turns any number of TERM, USR2 and Ctrl-C signals into one flag that the loop reads between steps.

    Forked children (DataLoader workers) are signalled by Slurm too. As long as training goes on they must
    stay alive, or the step that is running cannot be finished and saved; afterwards they must die when
    told to, or the job would hang. Both sides share one byte of memory that says which of the two holds.

    Use it as a context manager in the main thread; leaving restores the handlers that were there.

    Attributes:
        received: the first signal that arrived, or None.
        received_at: ``time.monotonic()`` of that moment, or None.
    """

    def __init__(self, signals: Iterable[int] = STOP_SIGNALS) -> None:
        self._signals = tuple(signals)
        self._previous: dict[int, Any] = {}
        self._owner = os.getpid()
        self._shared = mmap.mmap(-1, 1)  # anonymous and shared with forked children
        self.received: signal.Signals | None = None
        self.received_at: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether this process has been told to stop."""
        return self.received is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python delivers signals to the main thread only; its owner decides there
        self._shared[0] = _SHIELD
        for number in self._signals:
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release_children()
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous.clear()

    def release_children(self) -> None:
        """Let forked children die of the next signal: no step needs them any more."""
        self._shared[0] = _OBEY

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if self._shared[0] == _OBEY:
                os._exit(128 + number)
            return
        if self.received is None:
            self.received = signal.Signals(number)
            self.received_at = time.monotonic()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Stop after the step on the first Ctrl-C, at once on the second."""
        if os.getpid() == self._owner and self.received is signal.SIGINT:
            raise KeyboardInterrupt
        self._note(number, frame)


def ask_for_requeue(folder: Path, attempt: Attempt) -> None:
    """Leave the wish to be requeued in the run folder, for launchers that hide exit codes.

    Raises:
        OSError: the run folder cannot be written.
    """
    atomic.write_file(folder / REQUEUE_FILE, f"{attempt.job_id}.{attempt.restart}\n".encode())
