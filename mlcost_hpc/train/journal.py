"""Keeps the record of the present attempt up to date, and tells the person at the terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.train.attempts import Attempt, Reason, utc_now, write_attempt
from mlcost_hpc.train.gpu_memory import peak_gpu_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BEAT_S = 10.0


class Journal:
    """The record of this attempt; only the first process writes and speaks.

    A record that cannot be written (full disk) must not stop the training: it is said once.

    Attributes:
        attempt: the record as it stands.
    """

    def __init__(self, folder: Path, attempt: Attempt, *, is_first: bool) -> None:
        self._folder = folder
        self._is_first = is_first
        self._began_at = self._written_at = time.monotonic()
        self._is_broken = False
        self.attempt = attempt

    @property
    def elapsed_s(self) -> float:
        """Seconds since the attempt began."""
        return time.monotonic() - self._began_at

    def say(self, line: str) -> None:
        """Print one line for people on stderr."""
        if self._is_first:
            with suppress(OSError):  # who listened may be gone: no reason to lose the save that follows
                print(f"mlcost: {line}", file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """Print one line and keep it in the record."""
        self.say(f"warning: {line}")
        self.update(warnings=(*self.attempt.warnings, line))

    def update(self, **changes: Any) -> None:
        """Change fields of the record and write it."""
        self.attempt = msgspec.structs.replace(
            self.attempt, updated=utc_now(), peak_memory=peak_gpu_memory(), **changes
        )
        self._written_at = time.monotonic()
        if not self._is_first:
            return
        try:
            write_attempt(self._folder, self.attempt)
        except OSError as error:
            if not self._is_broken:
                self.say(f"warning: the record of this attempt cannot be written ({error})")
            self._is_broken = True

    def beat(self, step: int, ask_speed: Callable[[], float | None]) -> None:
        """Note progress, at most every few seconds, so that a kill leaves a trace of how far it got."""
        if time.monotonic() - self._written_at >= _BEAT_S:
            self.update(reached_step=step, steps_per_second=ask_speed())

    def close(self, reason: Reason, **changes: Any) -> None:
        """Note why and when the attempt ended."""
        self.update(ended=utc_now(), reason=reason, **changes)
