"""Latency, cores, and what predictions cost."""

import multiprocessing
import os
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.compress import measure
from mlcost_hpc.compress.cores import pinned
from mlcost_hpc.compress.economics import Economics, pays_back_after, per_million
from mlcost_hpc.compress.node import needs_reduced_range, node_class, parse_cpuinfo


class Work:
    """A clock that goes on by what calls do; so a busy machine changes no ratio."""

    def __init__(self) -> None:
        self.done = 0.0

    def clock(self) -> float:
        return self.done

    def call(self, amount: float) -> measure.Call:
        def work() -> None:
            self.done += amount

        return work


def test_twice_the_work_is_half_the_speed() -> None:
    """Two calls timed in turns give the ratio of their work."""
    work = Work()
    latency = measure.compare(
        lambda: (work.call(1.0), work.call(2.0)), batch=1, seconds=0.05, clock=work.clock
    )
    assert (latency.speedup, latency.uncertainty, latency.drift, latency.repeats) == (0.5, 0.0, 0.0, 0)
    assert latency.before.p10 <= latency.before.p50 <= latency.before.p90


def test_drift_is_seen() -> None:
    """A baseline that is slower in the second half has drifted."""
    assert measure.drift_of([1.0] * 10) == 0
    assert measure.drift_of([1.0] * 10 + [1.5] * 10) == pytest.approx(0.5)


def test_drift_makes_the_measurement_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least disturbed of several measurements is kept, and how many there were."""
    half, one, two = ([measure.Timed(wall=seconds, counted=seconds)] * 4 for seconds in (0.5, 1.0, 2.0))
    disturbed = [(one, one)] * 5 + [(two, two)] * 5
    quiet = [(one, half)] * 10
    answers = iter([disturbed, quiet])
    monkeypatch.setattr(measure, "_rounds", lambda *_: next(answers))
    latency = measure.compare(lambda: (int, int), batch=1, seconds=0.01)
    assert (latency.repeats, latency.speedup, latency.drift) == (1, 2.0, 0.0)


def test_ratios_that_scatter_make_the_measurement_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A speed-up that is not known to a few per cent is measured again, with both opened anew."""
    one, *others = ([measure.Timed(wall=t, counted=t)] for t in (1.0, 0.6, 1.0, 1.4))
    answers = iter([[(one, other) for other in others] * 3, [(one, one)] * 9])
    opened = 0

    def open_pair() -> measure.Pair:
        nonlocal opened
        opened += 1
        return int, int

    monkeypatch.setattr(measure, "_rounds", lambda *_: next(answers))
    latency = measure.compare(open_pair, batch=1, seconds=0.01)
    assert (latency.repeats, latency.uncertainty, opened) == (1, 0.0, 2)


def test_measurements_that_scatter_are_surer_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are each not sure enough are not thrown away: what they say together is."""
    one, *others = ([measure.Timed(wall=t, counted=t)] for t in (1.0, 0.97, 1.0, 1.03))
    rounds = [(one, other) for other in others] * 3
    alone = measure.uncertainty_of([1 / 0.97, 1.0, 1 / 1.03] * 3)
    monkeypatch.setattr(measure, "LARGEST_UNCERTAINTY", 0.9 * alone)
    monkeypatch.setattr(measure, "_rounds", lambda *_: rounds)
    latency = measure.compare(lambda: (int, int), batch=1, seconds=0.01)
    assert (latency.repeats, latency.after.calls) == (1, 18)
    assert latency.uncertainty < 0.9 * alone


@given(st.lists(st.floats(0.9, 1.1), min_size=4, max_size=36), st.floats(0.1, 10))
def test_a_large_speedup_is_as_sure_as_a_small_one(ratios: list[float], factor: float) -> None:
    """Uncertainty is a part of the speed-up: x4 give or take 2 % need not be measured again."""
    scaled = measure.uncertainty_of([factor * ratio for ratio in ratios])
    assert scaled == pytest.approx(measure.uncertainty_of(ratios), abs=1e-9)


def test_only_processor_time_counts_where_one_thread_works() -> None:
    """A call that waits for something else is not slow by itself, though its latency tells of the wait."""
    work, waited = Work(), threading.Event()
    worked = work.call(1.0)

    def wait() -> None:
        waited.wait(0.05)
        worked()

    latency = measure.compare(lambda: (worked, wait), batch=1, seconds=0.3, clock=work.clock)
    assert latency.speedup == 1.0
    assert latency.after.p50 >= 0.05 > latency.before.p10


@pytest.mark.parametrize(("seconds", "warmed_up"), [(0.11, 1), (0.04, 2)])
def test_calls_too_long_for_caches_to_matter_are_warmed_up_once(
    monkeypatch: pytest.MonkeyPatch, seconds: float, warmed_up: int
) -> None:
    """Of a slow model each call counts."""
    work, made = Work(), 0
    pause = work.call(seconds)

    def slow() -> None:
        nonlocal made
        made += 1
        pause()

    def rounds(*_: object) -> list[measure.Round]:
        assert made == warmed_up
        one = [measure.Timed(wall=1.0, counted=1.0)]
        return [(one, one)]

    monkeypatch.setattr(measure.time, "perf_counter", work.clock)
    monkeypatch.setattr(measure, "_rounds", rounds)
    measure.compare(lambda: (slow, int), batch=1, seconds=0.1, repeats=0)
    assert made == warmed_up


@pytest.mark.parametrize(("threads", "clock"), [(1, time.thread_time), (2, time.perf_counter)])
def test_several_threads_are_timed_by_the_wall_clock(threads: int, clock: measure.Clock) -> None:
    """The caller's processor time says nothing about work that other threads do."""
    assert measure.clock_of(threads) is clock


def hold(
    folder: str, ready: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event"
) -> None:
    with pinned(len(os.sched_getaffinity(0)), Path(folder), patience_s=0):
        ready.set()
        done.wait()


def test_two_tasks_of_one_user_never_share_a_core(tmp_path: Path) -> None:
    """While another process measures on all cores there is none left; once it ends, however, there is."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path), ready, done))
    other.start()
    try:
        assert ready.wait(20)
        with pinned(1, tmp_path, patience_s=0) as cores:
            assert cores == ()
        other.kill()
        other.join()
        before = os.sched_getaffinity(0)
        with pinned(1, tmp_path, patience_s=20) as cores:
            assert len(cores) == 1
            assert os.sched_getaffinity(0) == set(cores)
        assert os.sched_getaffinity(0) == before
    finally:
        other.kill()


def test_a_lock_folder_that_cannot_be_written_only_costs_the_pinning(tmp_path: Path) -> None:
    """A measurement without pinned cores is better than none."""
    (tmp_path / "file").write_text("")
    with pinned(1, tmp_path / "file", patience_s=0) as cores:
        assert cores == ()


def test_a_million_predictions_cost_time_times_cores_times_price() -> None:
    """10 ms for 32 samples on 2 cores at 0.05 an hour is 0.0087 a million."""
    assert per_million(0.010, 32, 2, Decimal("0.05")) == pytest.approx(
        Decimal("0.00868"), rel=Decimal("0.001")
    )


@given(st.decimals("0.000001", 100, places=6), st.decimals("0.000001", 10, places=6))
def test_a_batch_has_paid_for_itself_exactly_then(spent: Decimal, saved: Decimal) -> None:
    """After N predictions the saving covers the cost, after N - 1 it does not."""
    costs = Economics(before=saved + 1, after=Decimal(1))
    count = pays_back_after(spent, costs)
    assert count is not None
    assert count * saved >= spent * 1_000_000
    assert (count - 1) * saved < spent * 1_000_000


def test_without_a_saving_nothing_is_paid_back() -> None:
    """There is no number of predictions after which a slower model pays."""
    assert pays_back_after(Decimal(1), Economics(before=Decimal(1), after=Decimal(2))) is None


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("sse2 avx2 avx512f avx512bw avx512_vnni amx_int8", "amx"),
        ("sse2 avx2 avx512f avx512bw avx512_vnni", "avx512_vnni"),
        ("sse2 avx2 avx_vnni", "avx_vnni"),
        ("sse2 avx2 avx512f avx512bw", "avx512"),
        ("sse2 avx2", "avx2"),
        ("sse2", "x86"),
        ("fp asimd asimddp", "arm_dot"),
        ("fp asimd", "arm"),
        ("", "other"),
    ],
)
def test_processors_are_classed_by_what_changes_int8_results(flags: str, expected: str) -> None:
    """The class comes from the kernel's flags, on x86 and on ARM."""
    for key in ("flags", "Features"):
        _, found = parse_cpuinfo(f"processor : 0\nmodel name : A: B\n{key} : {flags}\n\nprocessor : 1\n")
        assert node_class(found) == expected


def test_weights_keep_to_7_bits_unless_every_serving_node_is_exact() -> None:
    """One node without VNNI, or not knowing, is enough for the careful range."""
    assert needs_reduced_range(())
    assert needs_reduced_range(("avx512_vnni", "avx2"))
    assert not needs_reduced_range(("avx512_vnni", "amx"))
