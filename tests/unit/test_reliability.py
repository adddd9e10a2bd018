"""Formulas for interrupted work, against published figures and simulation."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.reliability import daly_interval, expected_time, with_warned_stops


@pytest.mark.parametrize(("mean_time", "minutes"), [(24 * 60, 117), (6 * 60, 57), (15, 9.1)])
def test_interval_is_that_of_dalys_figures(mean_time: float, minutes: float) -> None:
    """With saves of 5 minutes the best intervals are those of the captions in Daly's paper."""
    assert daly_interval(5, mean_time) == pytest.approx(minutes, rel=0.006)


def test_expected_time_is_the_published_one() -> None:
    """48 h of work, a stop every 6 h, saves of 5 and restarts of 10 minutes take 58.6 h."""
    hours = expected_time(48, rate=1 / 6, interval=0.95, save=5 / 60, restart=10 / 60)
    assert hours == pytest.approx(58.58, abs=0.01)


def simulate(work: float, rate: float, interval: float, save: float, restart: float, seed: int) -> float:
    """Run the work once, minute by minute of luck: stops are Poisson, restarts can be interrupted too."""
    luck = random.Random(seed)
    clock = done = 0.0
    next_stop = luck.expovariate(rate)
    while done < work:
        step = min(interval, work - done)
        needed = step + save
        if clock + needed <= next_stop:
            clock += needed
            done += step
            continue
        clock = next_stop
        while True:
            next_stop = clock + luck.expovariate(rate)
            if clock + restart <= next_stop:
                clock += restart
                break
            clock = next_stop
    return clock


@pytest.mark.parametrize("mean_time", [2.0, 6.0, 24.0])
def test_expected_time_agrees_with_simulation(mean_time: float) -> None:
    """Over 3,000 simulated runs the mean is within 2 % of the formula."""
    work, interval, save, restart = 24.0, 1.0, 0.05, 0.1
    mean = sum(simulate(work, 1 / mean_time, interval, save, restart, seed) for seed in range(3000)) / 3000
    expected = expected_time(work, rate=1 / mean_time, interval=interval, save=save, restart=restart)
    assert mean == pytest.approx(expected, rel=0.02)


def test_warned_stops_agree_with_simulation() -> None:
    """Warned stops cost a save and a restart each, and can happen in those as well."""
    rate, cost, work = 0.5, 0.2, 20.0

    def once(seed: int) -> float:
        luck = random.Random(seed)
        clock, left, next_stop = 0.0, work, luck.expovariate(rate)
        while clock + left > next_stop:
            clock, left = next_stop, left - (next_stop - clock) + cost
            next_stop = clock + luck.expovariate(rate)
        return clock + left

    mean = sum(once(seed) for seed in range(4000)) / 4000
    assert mean == pytest.approx(with_warned_stops(work, rate=rate, cost=cost), rel=0.02)


def test_stops_faster_than_recovery_never_end() -> None:
    """When stops come faster than a job recovers, it never ends; the answer is infinite, not negative."""
    assert with_warned_stops(1, rate=10, cost=0.2) == math.inf
    assert expected_time(1e6, rate=100, interval=1e6, save=0, restart=1) == math.inf


@given(
    work=st.floats(0.01, 100), rate=st.floats(0, 2), save=st.floats(0, 0.5), restart=st.floats(0, 0.5),
    interval=st.floats(0.05, 10),
)  # fmt: skip
def test_interruptions_never_save_time(
    work: float, rate: float, save: float, restart: float, interval: float
) -> None:
    """Interrupted work takes at least as long as undisturbed work, and more stops never help."""
    once = expected_time(work, rate=rate, interval=interval, save=save, restart=restart)
    more = expected_time(work, rate=rate + 0.5, interval=interval, save=save, restart=restart)
    assert once >= work * (1 - 1e-9)
    assert more >= once * (1 - 1e-9)
