"""Latency that means something on a shared node: original and candidate in turns, in one pinned process.

A neighbour on the node doubles every number, but it doubles both; so ratios are what is reported, and when
the original's own median moves in the middle of a measurement, or the ratios scatter, it is done again.
Ratios of calls with one thread are those of processor time: what a call waited for a core that a neighbour
had is not its own. And since where a model happens to lie in memory is worth several per cent, both are
opened anew a few times.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlcost_hpc.compress.records import Latency, Spread

LARGEST_DRIFT = 0.10
LARGEST_UNCERTAINTY = 0.02
_FEWEST_CALLS = 1
_MOST_CALLS = 200
_FEWEST_ROUNDS = 3
_LONG_CALL_S = 0.05
"""Seconds of a call beyond which caches that have to be warmed no longer matter."""

Call = Callable[[], object]
Clock = Callable[[], float]


class Timed(NamedTuple):
    """What one call took, seconds: by the wall clock, and by the clock whose ratios count."""

    wall: float
    counted: float


Round = tuple[list[Timed], list[Timed]]
Pair = tuple[Call, Call]
"""One call of the original and one of the candidate."""


def clock_of(threads: int) -> Clock:
    """Return the clock whose ratios count: processor time, where one thread does all the work."""
    return time.thread_time if threads == 1 else time.perf_counter


def compare(
    open_pair: Callable[[], Pair],
    *,
    batch: int,
    seconds: float,
    rounds: int = 10,
    pairs: int = 1,
    repeats: int = 3,
    clock: Clock = time.perf_counter,
) -> Latency:
    """Return how long both calls take, measured in turns for about ``seconds``.

    Args:
        open_pair: opens original and candidate and returns how each is called.
        batch: samples per call, for the record.
        seconds: time to spend; slow models get fewer rounds and one call a round, and take what they take.
        rounds: blocks in which the two take turns.
        pairs: how often both are opened anew in a measurement.
        repeats: how often to measure again while the original drifts or the ratios scatter.
        clock: whose ratios count, see :func:`clock_of`.
    """
    every: list[Round] = []
    tried: list[Latency] = []
    for repeat in range(repeats + 1):
        found: list[Round] = []
        for _ in range(pairs):
            found += _turns(open_pair(), seconds / pairs, -(-rounds // pairs), clock)
        every += found
        # Ratios that only scatter are surer together; after a drift the last ones alone may be.
        tried += [_latency(found, batch, repeat), _latency(every, batch, repeat)]
        best = min(tried, key=_disturbance)
        if _disturbance(best) <= 1:
            break
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


def uncertainty_of(ratios: Sequence[float]) -> float:
    """Return the standard error of the median of ratios as a part of it, from the middle half of them.

    1.2533 sigma / sqrt(n) for the median of a normal distribution, whose middle half is 1.349 sigma wide.
    """
    if len(ratios) < 4:
        return 0.0
    low, middle, high = statistics.quantiles(ratios, n=4)
    return 1.2533 * (high - low) / middle / 1.349 / math.sqrt(len(ratios))


def _disturbance(latency: Latency) -> float:
    """Return how disturbed a measurement was; up to 1 it is good enough."""
    return max(latency.drift / LARGEST_DRIFT, latency.uncertainty / LARGEST_UNCERTAINTY)


def _turns(pair: Pair, seconds: float, rounds: int, clock: Clock) -> list[Round]:
    """Warm both up and time them in turns for about ``seconds``."""
    before, after = pair
    both = _timed(before, clock).wall + _timed(after, clock).wall
    if both < 2 * _LONG_CALL_S:
        both = min(both, _timed(before, clock).wall + _timed(after, clock).wall)
    calls = max(_FEWEST_CALLS, min(_MOST_CALLS, round(seconds / rounds / max(both, 1e-7))))
    fewer = min(rounds, max(_FEWEST_ROUNDS, round(2 * seconds / max(both, 1e-7))))
    return _rounds(before, after, calls, fewer, clock)


def _rounds(before: Call, after: Call, calls: int, count: int, clock: Clock) -> list[Round]:
    """Return the times of both, in short blocks in turns; the first call of a short block warms caches."""
    rounds = []
    for number in range(count):
        times: Round = ([], [])
        pair = (0, 1) if number % 2 == 0 else (1, 0)
        for which in pair:
            call = (before, after)[which]
            first = _timed(call, clock)
            more = [_timed(call, clock) for _ in range(calls - 1)]
            is_long = first.wall > _LONG_CALL_S
            times[which].extend([first, *more] if is_long else [*more, _timed(call, clock)])
        rounds.append(times)
    return rounds


def _latency(rounds: Sequence[Round], batch: int, repeat: int) -> Latency:
    before = [times for block, _ in rounds for times in block]
    after = [times for _, block in rounds for times in block]
    # A neighbour that comes or goes hits both sides of a round, so its ratio stands.
    ratios = [_median(one) / _median(other) for one, other in rounds]
    return Latency(
        batch=batch,
        before=spread([times.wall for times in before]),
        after=spread([times.wall for times in after]),
        speedup=round(statistics.median(ratios), 4),
        uncertainty=round(uncertainty_of(ratios), 4),
        drift=round(drift_of([times.counted for times in before]), 4),
        repeats=repeat,
    )


def _median(block: Sequence[Timed]) -> float:
    return statistics.median(times.counted for times in block)


def _timed(call: Call, clock: Clock) -> Timed:
    began, counted = time.perf_counter(), clock()
    call()
    return Timed(counted=clock() - counted, wall=time.perf_counter() - began)
