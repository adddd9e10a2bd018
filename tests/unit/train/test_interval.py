"""How often to save."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import MlcostError
from mlcost_hpc.train import interval

MINUTE, HOUR = 60.0, 3600.0


@pytest.mark.parametrize(("mtbf_s", "minutes"), [(24 * HOUR, 116.7), (6 * HOUR, 56.7), (15 * MINUTE, 9.1)])
def test_daly_interval_gives_the_published_values(mtbf_s, minutes):
    """Saves of 5 minutes: 117, 57 and 9.1 minutes for stops every 24 h, 6 h and 15 min (Daly's figures)."""
    assert interval.daly_interval(5 * MINUTE, mtbf_s) / MINUTE == pytest.approx(minutes, abs=0.05)


def lost_share(tau, save_s, mtbf_s):
    """Daly's expected run time per unit of work, restarts left out."""
    import math

    return mtbf_s * math.expm1((tau + save_s) / mtbf_s) / tau


@given(st.floats(0.1, 600), st.floats(1200, 1e6))
def test_daly_interval_is_close_to_the_best_one(save_s, mtbf_s):
    """Neither half nor double the interval has a shorter expected run time."""
    tau = interval.daly_interval(save_s, mtbf_s)
    best = lost_share(tau, save_s, mtbf_s)
    assert best <= lost_share(tau / 2, save_s, mtbf_s)
    assert best <= lost_share(tau * 2, save_s, mtbf_s)


def test_saves_longer_than_twice_the_time_between_stops_fall_back_to_that_time():
    """Daly's formula ends where a save takes longer than 2 M."""
    assert interval.daly_interval(10.0, 4.0) == 4.0


def test_the_rate_of_stops_moves_from_the_prior_to_what_was_seen():
    """Nothing seen: the prior; many stops: the measured mean time."""
    assert interval.estimate_mtbf(0, 0.0) == interval.PRIOR_MTBF_S
    assert interval.estimate_mtbf(1000, 1000 * HOUR) == pytest.approx(HOUR, rel=0.05)


def test_the_adaptive_interval_grows_with_the_cost_of_saves():
    """A slow save lengthens the interval at once; fixed policies do not learn."""
    policy = interval.Adaptive()
    policy.learn(save_s=1.0, write_s=1.0, mtbf_s=6 * HOUR)
    before = policy.interval_s
    policy.learn(save_s=9.0, write_s=9.0, mtbf_s=6 * HOUR)
    assert policy.interval_s == pytest.approx(interval.daly_interval(9.0, 6 * HOUR))
    assert policy.interval_s > 2 * before
    assert not policy.is_due(step=1, seconds=policy.interval_s - 1)
    assert policy.is_due(step=1, seconds=policy.interval_s)


@pytest.mark.parametrize(("text", "due", "not_due"), [(5, (10, 0), (11, 999)), ("2m", (1, 120), (1, 119))])
def test_fixed_policies_count_steps_or_seconds(text, due, not_due):
    """A number means steps, a text means time."""
    policy = interval.parse_policy(text)
    assert policy.is_due(step=due[0], seconds=due[1])
    assert not policy.is_due(step=not_due[0], seconds=not_due[1])


@pytest.mark.parametrize("wrong", [0, -1, "often", "", "0s", "unlimited"])
def test_a_senseless_interval_is_refused(wrong):
    """What is neither steps, time nor auto is an error with the three forms in it."""
    with pytest.raises(MlcostError):
        interval.parse_policy(wrong)
