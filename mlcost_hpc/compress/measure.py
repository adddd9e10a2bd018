"""Latency that means something on a shared node: original and candidate in turns, in one pinned process.

A neighbour on the node doubles every number, but it doubles both; so ratios are what is reported, and when
the original's own median moves in the middle of a measurement the whole is done again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from mlcost_hpc.compress.records import Latency, Spread

LARGEST_DRIFT = 0.10
_FEWEST_CALLS = 1
_MOST_CALLS = 200

Call = Callable[[], object]


def compare(
    before: Call, after: Call, *, batch: int, seconds: float, rounds: int = 10, repeats: int = 3
) -> Latency:
    """Return how long both calls take, measured in turns for about ``seconds``.

    Args:
        before: one call of the original.
        after: one call of the candidate.
        batch: samples per call, for the record.
        seconds: time to spend; slow models get one call a round all the same.
        rounds: blocks in which the two take turns.
        repeats: how often to measure again while the original drifts.
    """
    calls = _calls_per_round(before, after, seconds / rounds)
    best: Latency | None = None
    for repeat in range(repeats + 1):
        latency = _latency(_rounds(before, after, calls, rounds), batch, repeat)
        if best is None or latency.drift < best.drift:
            best = latency
        if latency.drift <= LARGEST_DRIFT:
            break
    assert best is not None  # noqa: S101 - the loop ran
    return best


def spread(times: Sequence[float]) -> Spread:
    """Return percentiles of call times (nearest rank)."""
    ordered = sorted(times)
    last = len(ordered) - 1
    return Spread(
        p10=ordered[round(0.1 * last)],
        p50=ordered[round(0.5 * last)],
        p90=ordered[round(0.9 * last)],
        calls=len(ordered),
    )


def drift_of(times: Sequence[float]) -> float:
    """Return how far the median of the second half is from the first half's, relative."""
    half = len(times) // 2
    if not half:
        return 0.0
    first, second = spread(times[:half]).p50, spread(times[half:]).p50
    return abs(second - first) / first


def _calls_per_round(before: Call, after: Call, seconds: float) -> int:
    """Warm both up and return how many calls of each fill a round."""
    both = min(_timed(before) + _timed(after) for _ in range(2))
    return max(_FEWEST_CALLS, min(_MOST_CALLS, round(seconds / max(both, 1e-7))))


def _rounds(before: Call, after: Call, calls: int, count: int) -> list[tuple[list[float], list[float]]]:
    """Return the times of both, taken in short blocks in turns; a block's first call only warms caches."""
    rounds = []
    for number in range(count):
        times: tuple[list[float], list[float]] = ([], [])
        pair = (0, 1) if number % 2 == 0 else (1, 0)
        for which in pair:
            call = (before, after)[which]
            call()
            times[which].extend(_timed(call) for _ in range(calls))
        rounds.append(times)
    return rounds


def _latency(rounds: Sequence[tuple[list[float], list[float]]], batch: int, repeat: int) -> Latency:
    before = [time for times, _ in rounds for time in times]
    after = [time for _, times in rounds for time in times]
    # A neighbour that comes or goes hits both sides of a round, so its ratio stands.
    ratios = [spread(one).p50 / spread(other).p50 for one, other in rounds]
    return Latency(
        batch=batch,
        before=spread(before),
        after=spread(after),
        speedup=round(statistics.median(ratios), 4),
        drift=round(drift_of(before), 4),
        repeats=repeat,
    )


def _timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
