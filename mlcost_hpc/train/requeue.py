"""Being told to stop: the signals Slurm sends, and the agreed way to ask for another go.

The batch script is the one owner of requeueing. The training process only notices that it should stop,
saves at the end of a step, and leaves with :data:`EXIT_REQUEUE`. torchrun hides the exit codes of its
workers, so the same wish is also left as a file, :func:`ask_for_requeue`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.sharedctypes import RawValue
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

EXIT_SUPERSEDED = 1
"""Exit code when another attempt has taken over the run; the record keeps the job from being requeued."""

REQUEUE_FILE = "requeue-me"
"""File in the run folder with the attempt (``<job id>.<restart>``) that asks to be requeued."""

FINISHED_FILE = "finished.json"
"""File in the run folder that says that there is nothing left to do."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""What Slurm sends before it kills. USR1 is left alone because NCCL uses it."""

_OBEY, _SHIELD = 0, 1


class Shield:
    """Makes a child process outlive the stop signals as long as the training wants it to live.

    It is picklable, so it also reaches children that are spawned.
    """

    def __init__(self, signals: tuple[int, ...], shared: Any) -> None:
        self._signals = signals
        self._shared = shared

    def __call__(self, worker: int = 0) -> None:  # noqa: ARG002 - loaders pass the worker's number
        """Install the handlers in the child that calls this."""
        for number in self._signals:
            signal.signal(number, self.obey_or_ignore)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides

    def obey_or_ignore(self, number: int, _frame: FrameType | None) -> None:
        """Die of the signal when the training has ended, else go on."""
        if self._shared.value == _OBEY:
            os._exit(128 + number)


class StopSignal:
    """Turns any number of TERM, USR2 and Ctrl-C signals into one flag that the loop reads between steps.

    Child processes (DataLoader workers) are signalled by Slurm too. As long as training goes on they must
    stay alive, or the step that is running cannot be finished and saved; afterwards they must die when
    told to, or the job would hang. They share one byte of memory with this process that says which of the
    two holds. Forked children are covered by themselves; torch's loader workers take SIGTERM back for
    themselves, so they need :attr:`shield` as their ``worker_init_fn``.

    Use it as a context manager in the main thread; leaving restores the handlers that were there, but for
    USR2, which is ignored from then on unless the program had a handler of its own.

    Attributes:
        shield: called in a child process, makes it outlive the signals as long as training goes on.
        received: the first signal that arrived, or None.
        received_at: ``time.monotonic()`` of that moment, or None.
    """

    def __init__(self, signals: Iterable[int] = STOP_SIGNALS) -> None:
        self._signals = tuple(signals)
        self._previous: dict[int, Any] = {}
        self._owner = os.getpid()
        self._shared = RawValue("b", _OBEY)
        self.shield = Shield(self._signals, self._shared)
        self.received: signal.Signals | None = None
        self.received_at: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether this process has been told to stop."""
        return self.received is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal for at most so many seconds; return whether there was one."""
        give_up_at = time.monotonic() + timeout_s
        while not self.is_set and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return self.is_set

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python delivers signals to the main thread only; its owner decides there
        self._shared.value = _SHIELD
        for number in self._signals:
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release_children()
        for number, handler in self._previous.items():
            after = signal.SIG_DFL if handler is None else handler
            # Slurm may warn of the time limit when the last step has just been saved: nobody waits for that
            # any more, and the default would kill a process that has done all it should.
            is_late_warning = number == signal.SIGUSR2 and after == signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if is_late_warning else after)
        self._previous.clear()

    def release_children(self) -> None:
        """Let forked children die of the next signal: no step needs them any more."""
        self._shared.value = _OBEY

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            self.shield.obey_or_ignore(number, _frame)
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
