"""Asking a controller again that is slow or down for a moment, within bounds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from mlcost_hpc.errors import SlurmDownError, SlurmTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")

PAUSES_S = (1.0, 1.0, 2.0, 4.0, 8.0, 15.0)
SUBMISSION_S = 120.0
QUESTION_S = 30.0
"""Seconds after which there are no more tries; a person waits for the answer to a question."""

SILENT = (SlurmDownError, SlurmTimeoutError)
"""Errors that may be gone a moment later; everything else is Slurm's word."""


def pauses(longest_s: float, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Give the seconds to wait before each further try; no more once so much time has gone by.

    Args:
        longest_s: seconds.
        clock: seconds of a clock that only goes forward.
    """
    began = clock()
    for pause in PAUSES_S:
        if clock() - began + pause > longest_s:
            return
        yield pause


def patiently(ask: Callable[[], Answer], sleep: Callable[[float], None] = time.sleep) -> Answer:
    """Return the answer to a question that changes nothing, asked again while Slurm is silent.

    Args:
        ask: asks.
        sleep: waits so many seconds.

    Raises:
        SlurmError: Slurm's word, or the last silence.
    """
    for pause in pauses(QUESTION_S):
        try:
            return ask()
        except SILENT:
            sleep(pause)
    return ask()
