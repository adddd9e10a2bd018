"""Accounting rows of a live cluster into the ledger: in slices, one call at a time, late changes included.

A finished run can still change (slurmctld hands in what it queued while slurmdbd was down; an operator closes
runaway records), so each collection looks back over some days, and asks by id for every run that the ledger
has as open. A run that sacct no longer shows stays in the ledger.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlcost_accounting.ledger.cursor import move_cursor, open_jobs, read_cursor
from mlcost_hpc.errors import SlurmCommandError, SlurmDownError, SlurmNoAccountingError, SlurmTimeoutError
from mlcost_hpc.slurm.api import RunAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.sacct_source import AccountingSource, SacctText

DAY_S = 86400
FIRST_LOOK_S = 31 * DAY_S
LOOK_BACK_S = 3 * DAY_S
SHORTEST_SLICE_S = 300
_JOBS_AT_ONCE = 500
_PART = 1 << 21


class Collector:
    """Collects the rows of one cluster.

    Args:
        source: the cluster.
        cluster: its name.
        ingest: takes the rows.
        ledger: where they go.
        clock: returns the time (UTC seconds).
        on_slice: called before each slice with (start, end).
        on_rows: called with (start, end) once all rows of a time, and the open runs, are in.
    """

    def __init__(
        self,
        source: AccountingSource,
        cluster: str,
        ingest: Ingest,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.time,
        on_slice: Callable[[int, int], None] = lambda _start, _end: None,
        on_rows: Callable[[int, int], None] = lambda _start, _end: None,
    ) -> None:
        self._source = source
        self._cluster = cluster
        self._ingest = ingest
        self._ledger = ledger
        self._clock = clock
        self._on_slice = on_slice
        self._on_rows = on_rows

    def collect(self, since: int | None = None, until: int | None = None) -> None:
        """Take all rows of a time, and the open runs the ledger knows.

        Args:
            since: from when (UTC seconds); None = where the last collection ended, less the look-back, or
                a month ago the first time.
            until: to when; None = now.

        Raises:
            SlurmError: when the cluster does not answer; what was taken so far stays.
        """
        now = int(self._clock())
        end = now if until is None else min(until, now)
        through = read_cursor(self._ledger, self._cluster)
        start = self.first_start(through) if since is None else since
        for begin, stop in slices(start, end):
            self._on_slice(begin, stop)
            self.window(begin, stop)
            move_cursor(self._ledger, self._cluster, begin, stop)
        self.open_runs(now)
        self._on_rows(start, end)

    def open_runs(self, seen_before: int) -> None:
        """Ask again about every run that the ledger has as open and that was last read before a time."""
        jobs = open_jobs(self._ledger, self._cluster, seen_before)
        for begin in range(0, len(jobs), _JOBS_AT_ONCE):
            some = jobs[begin : begin + _JOBS_AT_ONCE]
            seen = int(self._clock())
            self._take(self._source.jobs([job for job, _ in some], min(when for _, when in some)), seen)

    def first_start(self, through: int | None) -> int:
        """Return from when a collection begins that follows one up to ``through`` (None = the first)."""
        now = int(self._clock())
        return now - FIRST_LOOK_S if through is None else through - LOOK_BACK_S

    def older(self, start: int, end: int) -> None:
        """Take all rows of a time before what is known."""
        self.window(start, end)
        self._on_rows(start, end)

    def window(self, start: int, end: int) -> None:
        """Take a slice; one that the cluster cannot answer is halved until it can."""
        seen = int(self._clock())
        try:
            answer = self._source.window(start, end)
        except (SlurmDownError, SlurmNoAccountingError):
            raise
        except (SlurmTimeoutError, SlurmCommandError):
            if end - start <= SHORTEST_SLICE_S:
                raise
            middle = (start + end) // 2
            self.window(start, middle)
            self.window(middle, end)
            return
        self._take(answer, seen)

    def _take(self, answer: SacctText | RunAnswer, seen: int) -> None:
        if isinstance(answer, RunAnswer):
            self._ingest.answer(answer, cluster=self._cluster, seen=seen)
            return
        text = answer.text
        parts = (text[begin : begin + _PART] for begin in range(0, len(text), _PART))
        self._ingest.text(parts, answer.layout, seen=seen, cluster=self._cluster)


def slices(start: int, end: int, length: int = DAY_S) -> Iterator[tuple[int, int]]:
    """Yield windows of at most ``length`` seconds, cut at whole multiples of it, oldest first."""
    while start < end:
        stop = min(end, (start // length + 1) * length)
        yield start, stop
        start = stop
