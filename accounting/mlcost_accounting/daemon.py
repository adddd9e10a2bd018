"""The daemon: reads the cluster every few minutes, backs off when it does not answer, says how it is.

:class:`Rounds` decides what one round reads and how long to wait; :func:`run` is the loop around it. The
newest rows come first in every round; a back-fill of old ones gets one slice a round and never holds them up.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec
from filelock import FileLock, Timeout

from mlcost_accounting.ledger.cursor import read_back_cursor, read_cursor, set_back_cursor
from mlcost_hpc.errors import LedgerError, MlcostError, SlurmError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlcost_accounting.collect import Collector
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import Ledger

LONGEST_WAIT_S = 1800.0
_SLICE_S = 86400


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon is, as its health file says it.

    Attributes:
        pid: its process.
        cluster: what it reads.
        ok: the last round succeeded.
        error: why not; empty when it did.
        failures: rounds that failed one after the other.
        last_round: when the last round ended (UTC seconds).
        last_success: when the last good one did; None = never yet.
        through: up to when the cluster is known; None = not at all.
        back_to: how far back the back-fill has come; None = there is none.
        runs_new, runs_changed, rejects: since the daemon began.
        round_s: how long the last round took, seconds.
    """

    pid: int
    cluster: str
    ok: bool
    error: str = ""
    failures: int = 0
    last_round: int
    last_success: int | None = None
    through: int | None = None
    back_to: int | None = None
    runs_new: int = 0
    runs_changed: int = 0
    rejects: int = 0
    round_s: float = 0.0


class Collecting(Protocol):
    """Makes what reads the cluster; called anew in every round, for the cluster's settings can change."""

    def __call__(self) -> Collector:
        """Return the collector. May raise :class:`~mlcost_hpc.errors.SlurmError`."""
        ...


class Rounds:
    """What the daemon does in each round.

    Args:
        ledger: the ledger.
        taker: counts what was taken.
        collecting: makes what reads the cluster.
        cluster: its name.
        interval_s: time between rounds.
        backfill_from: read back to this time (UTC seconds); None = no back-fill.
        after: done after a good round (alerts).
    """

    def __init__(
        self,
        ledger: Ledger,
        taker: Ingest,
        collecting: Collecting,
        cluster: str,
        *,
        interval_s: float,
        backfill_from: int | None = None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._taker = taker
        self._collecting = collecting
        self._cluster = cluster
        self._interval_s = interval_s
        self._backfill_from = backfill_from
        self._after = after
        self._failures = 0
        self._round_s = 0.0
        self._last_success: int | None = None

    def tick(self) -> Health:
        """Do one round and return how it went; an error of Slurm or the ledger is part of the answer."""
        began = time.monotonic()
        error = ""
        try:
            self._round()
        except (SlurmError, MlcostError) as problem:
            error = str(problem)
            self._failures += 1
        else:
            self._failures = 0
            self._last_success = int(time.time())
        self._round_s = time.monotonic() - began
        counts = self._taker.intake.counts
        return Health(
            pid=os.getpid(),
            cluster=self._cluster,
            ok=not error,
            error=error,
            failures=self._failures,
            last_round=int(time.time()),
            last_success=self._last_success,
            through=read_cursor(self._ledger, self._cluster),
            back_to=read_back_cursor(self._ledger, self._cluster),
            runs_new=counts.new,
            runs_changed=counts.changed,
            rejects=self._taker.intake.rejects,
            round_s=round(self._round_s, 3),
        )

    def wait_s(self) -> float:
        """Return how long to wait before the next round.

        Longer after each failure, up to half an hour. During a back-fill as long as the last round took, so
        that slurmdbd is free for others at least half of the time.
        """
        if self._failures:
            return min(self._interval_s * 2.0**self._failures, max(LONGEST_WAIT_S, self._interval_s))
        return min(self._interval_s, self._round_s) if self._has_backfill() else self._interval_s

    def _round(self) -> None:
        collector = self._collecting()
        before = read_cursor(self._ledger, self._cluster)
        collector.collect()
        if self._backfill_from is not None:
            self._back_one_slice(collector, before)
        self._ledger.refresh()
        self._after()

    def _back_one_slice(self, collector: Collector, before: int | None) -> None:
        """Read the day before what is known, until the wanted time is reached."""
        at = read_back_cursor(self._ledger, self._cluster)
        if at is None:
            at = collector.first_start(before)
            set_back_cursor(self._ledger, self._cluster, at)
        if self._backfill_from is not None and at > self._backfill_from:
            start = max(self._backfill_from, at - _SLICE_S)
            collector.older(start, at)
            set_back_cursor(self._ledger, self._cluster, start)

    def _has_backfill(self) -> bool:
        at = read_back_cursor(self._ledger, self._cluster)
        return self._backfill_from is not None and at is not None and at > self._backfill_from


def run(rounds: Rounds, stop: threading.Event, on_round: Callable[[Health], None]) -> None:
    """Do rounds until told to stop.

    Args:
        rounds: what to do.
        stop: set from outside (a signal) to end after the round that is going on.
        on_round: called after each round with how it went.
    """
    while not stop.is_set():
        on_round(rounds.tick())
        stop.wait(rounds.wait_s())


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the daemon's lock on a ledger.

    Raises:
        LedgerError: when another daemon holds it.
    """
    lock = FileLock(path.with_name(f"{path.name}.daemon.lock"), mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LedgerError(f"another daemon works on {path}") from None
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that readers see the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def health_text(health: Health) -> str:
    """Return the health file's text (JSON)."""
    return msgspec.json.format(msgspec.json.encode(health), indent=2).decode() + "\n"


def metrics_text(health: Health) -> str:
    """Return the figures for Prometheus's textfile collector."""
    label = health.cluster.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    figures = [
        ("mlcost_daemon_up", "gauge", "1 when the last round succeeded.", int(health.ok)),
        ("mlcost_daemon_failures", "gauge", "Rounds that failed one after the other.", health.failures),
        ("mlcost_daemon_last_round_seconds", "gauge", "When the last round ended.", health.last_round),
        ("mlcost_daemon_last_success_seconds", "gauge", "When it last succeeded.", health.last_success or 0),
        ("mlcost_daemon_through_seconds", "gauge", "Up to when the cluster is known.", health.through or 0),
        ("mlcost_daemon_round_duration_seconds", "gauge", "Length of the last round.", health.round_s),
        ("mlcost_ledger_runs_new_total", "counter", "Runs taken in.", health.runs_new),
        ("mlcost_ledger_runs_changed_total", "counter", "Runs changed.", health.runs_changed),
        ("mlcost_ledger_rejects_total", "counter", "Pieces that could not be read.", health.rejects),
    ]
    lines = []
    for name, kind, words, value in figures:
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", f'{name}{{cluster="{label}"}} {value}']
    return "\n".join(lines) + "\n"
