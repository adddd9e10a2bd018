"""Reading a live cluster: slices, halves, late rows, open runs, and a daemon that backs off."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest
from ledger_kit import LAYOUT, NOON, Books, row
from mlcost_accounting import daemon
from mlcost_accounting.collect import DAY_S, LOOK_BACK_S, Collector, slices
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.cursor import read_cursor

from mlcost_hpc.errors import LedgerError, SlurmCommandError, SlurmDownError, SlurmTimeoutError
from mlcost_hpc.slurm.sacct_source import SacctText

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TODAY = NOON - NOON % DAY_S


class Cluster:
    """A source that answers from a list of rows; ``refuse`` says which windows it cannot answer."""

    def __init__(self, rows: list[str]) -> None:
        self.rows = rows
        self.windows: list[tuple[int, int]] = []
        self.asked: list[tuple[str, ...]] = []
        self.longest = 10**9
        self.error: Exception | None = None

    def window(self, start: int, end: int) -> SacctText:
        self.windows.append((start, end))
        if self.error is not None:
            raise self.error
        if end - start > self.longest:
            raise SlurmTimeoutError(["sacct"], 30)
        return SacctText(text="".join(f"{line}\n" for line in self.rows), layout=LAYOUT)

    def jobs(self, job_ids: Sequence[str], since: int) -> SacctText:  # noqa: ARG002
        self.asked.append(tuple(job_ids))
        return SacctText(text="".join(f"{line}\n" for line in self.rows), layout=LAYOUT)


def collector(books: Books, cluster: Cluster, now: int) -> Collector:
    return Collector(cluster, "alpha", Ingest(books.ledger, books.kinds), books.ledger, clock=lambda: now)


def test_windows_are_days_that_touch_without_gaps() -> None:
    """Slices cover the span once, cut at midnight UTC."""
    found = list(slices(TODAY - 3600, TODAY + DAY_S + 60))
    assert found == [(TODAY - 3600, TODAY), (TODAY, TODAY + DAY_S), (TODAY + DAY_S, TODAY + DAY_S + 60)]


def test_the_next_collection_looks_back(books: Books) -> None:
    """It begins three days before the end of the last one, for rows that changed late."""
    cluster = Cluster([])
    collector(books, cluster, NOON).collect(NOON - 3600)
    assert read_cursor(books.ledger, "alpha") == NOON
    cluster.windows.clear()
    collector(books, cluster, NOON + 600).collect()
    assert cluster.windows[0][0] == NOON - LOOK_BACK_S
    assert cluster.windows[-1][1] == NOON + 600


def test_a_window_the_cluster_cannot_answer_is_halved(books: Books) -> None:
    """A time-out leads to smaller windows that together cover the same time."""
    cluster = Cluster([row()])
    cluster.longest = 6 * 3600
    collector(books, cluster, TODAY + DAY_S).collect(TODAY)
    answered = [window for window in cluster.windows if window[1] - window[0] <= cluster.longest]
    assert answered == [(TODAY + n * 6 * 3600, TODAY + (n + 1) * 6 * 3600) for n in range(4)]
    assert books.ledger.rows("SELECT COUNT(*) AS n FROM runs") == [{"n": 1}]


def test_a_window_of_minutes_that_fails_is_an_error(books: Books) -> None:
    """Halving ends; what cannot be answered at all is said, and the cursor stays."""
    cluster = Cluster([])
    cluster.longest = 1
    with pytest.raises(SlurmTimeoutError):
        collector(books, cluster, TODAY + DAY_S).collect(TODAY)
    assert read_cursor(books.ledger, "alpha") is None


def test_a_database_that_is_down_is_not_asked_in_halves(books: Books) -> None:
    """One call finds out; more would be a burden."""
    cluster = Cluster([])
    cluster.error = SlurmDownError(["sacct"], 1, "", "refused", daemon="slurmdbd")
    with pytest.raises(SlurmDownError):
        collector(books, cluster, TODAY + DAY_S).collect(TODAY)
    assert len(cluster.windows) == 1


def test_open_runs_are_asked_for_by_id(books: Books) -> None:
    """A run that was open and is in no window any more is still followed to its end."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=60), seen=NOON + 60)
    cluster = Cluster([])
    cluster.rows = [row()]
    collector(books, cluster, NOON + 7200).open_runs(NOON + 7200)
    books.ledger.refresh()
    assert cluster.asked == [("100",)]
    assert books.cost() == 4_800_000


def rounds(books: Books, cluster: Cluster, now: int, **options: int) -> daemon.Rounds:
    taker = Ingest(books.ledger, books.kinds)
    return daemon.Rounds(
        books.ledger,
        taker,
        lambda: Collector(cluster, "alpha", taker, books.ledger, clock=lambda: now),
        "alpha",
        interval_s=300,
        backfill_from=options.get("backfill_from"),
    )


def test_the_daemon_waits_longer_while_the_database_is_down_and_catches_up(books: Books) -> None:
    """300 s, then 600 s, 1200 s, never more than half an hour; one success ends it."""
    cluster = Cluster([row()])
    cluster.error = SlurmDownError(["sacct"], 1, "", "refused", daemon="slurmdbd")
    engine = rounds(books, cluster, NOON + 7200)
    waits = []
    for _ in range(4):
        assert not engine.tick().ok
        waits.append(engine.wait_s())
    assert waits == [600, 1200, 1800, 1800]
    cluster.error = None
    state = engine.tick()
    assert (state.ok, state.failures, state.runs_new) == (True, 0, 1)
    assert engine.wait_s() == 300
    assert books.cost() == 4_800_000


def test_a_back_fill_takes_a_day_a_round_after_the_newest_rows(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round reads the tail first; the old days follow one by one until they are done.

    In between it waits for as long as the round took.
    """
    ticks = itertools.count(0, 40)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    cluster = Cluster([])
    collector(books, cluster, NOON).collect(NOON - 3600)
    engine = rounds(books, cluster, NOON, backfill_from=NOON - LOOK_BACK_S - 2 * DAY_S)
    waits = []
    for n in (1, 2):
        cluster.windows.clear()
        engine.tick()
        assert cluster.windows[0][0] == NOON - LOOK_BACK_S
        assert cluster.windows[-1] == (NOON - LOOK_BACK_S - n * DAY_S, NOON - LOOK_BACK_S - (n - 1) * DAY_S)
        waits.append(engine.wait_s())
    assert waits == [40, 300]


def test_a_years_back_fill_does_not_hold_up_new_rows(books: Books) -> None:
    """A job that ends while old days are read is in the ledger after the next round, its charge summed."""
    cluster = Cluster([])
    collector(books, cluster, NOON).collect(NOON - 3600)
    engine = rounds(books, cluster, NOON, backfill_from=NOON - 365 * DAY_S)
    for job in range(1, 6):
        cluster.rows.append(row(JobID=job, JobIDRaw=job, DBIndex=job))
        state = engine.tick()
        assert (state.runs_new, books.cost()) == (job, job * 4_800_000)
        assert state.back_to == NOON - LOOK_BACK_S - job * DAY_S
    assert len(cluster.windows) < 6 * 6  # the tail and one old day a round


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """The lock names the ledger."""
    with (
        daemon.only_one(tmp_path / "ledger.db"),
        pytest.raises(LedgerError, match="another daemon"),
        daemon.only_one(tmp_path / "ledger.db"),
    ):
        pass


def test_the_loop_ends_when_told_to(books: Books) -> None:
    """A stop during a round ends the loop after it."""
    stop = threading.Event()
    seen: list[daemon.Health] = []

    def on_round(state: daemon.Health) -> None:
        seen.append(state)
        stop.set()

    daemon.run(rounds(books, Cluster([]), NOON), stop, on_round)
    assert [state.ok for state in seen] == [True]


def test_metrics_are_in_prometheus_form(books: Books) -> None:
    """One HELP, one TYPE and one figure a metric, the label escaped."""
    state = rounds(books, Cluster([row()]), NOON + 7200).tick()
    lines = daemon.metrics_text(state).splitlines()
    assert len(lines) % 3 == 0
    assert 'mlcost_ledger_runs_new_total{cluster="alpha"} 1' in lines


def test_other_failures_of_sacct_count_as_one(books: Books) -> None:
    """Any error of Slurm is told in the health, not raised."""
    cluster = Cluster([])
    cluster.error = SlurmCommandError(["sacct"], 1, "", "Invalid field requested")
    assert "Invalid field" in rounds(books, cluster, NOON).tick().error
