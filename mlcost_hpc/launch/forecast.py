"""What a job on an offer is expected to take and to cost, term by term (pure).

With price ``p`` per hour, the terms are::

    work     = amount / speed * exp(sigma^2 / 2)                       the mean of a lognormal
    running  = work, plus saves, restarts and lost work               (interruption.py)
    to_result = wait + running + stops * (requeue delay + wait again)
    cost     = p * running                the queue is not billed
    score    = cost + value of an hour * to_result

The interval of ``to_result`` and of ``cost`` comes from those of speed, wait and preemption rate: their
logarithms are taken as independent and normal. Because the mean of what is unsure lies above its middle, a
place where the job was measured wins over one that is as good by guess.
"""

from __future__ import annotations

import math
from decimal import Decimal
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.interruption import (
    HOUR,
    Interruptions,
    Running,
    expect_interruptions,
    expect_running,
    saved_in_time,
)
from mlcost_hpc.launch.past import NOTHING
from mlcost_hpc.launch.speed import Q90, Measurement, Speed, peak_speed, speed_on
from mlcost_hpc.launch.waiting import Wait, expect_wait

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.evidence import Evidence
    from mlcost_hpc.launch.need import Need, Work
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.launch.shape import Shape

DEFAULT_LIMIT_S = 3600
_LIMIT_STEP_S = 300
_SLACK_S = 600
_NEVER = 1e15
_NORMAL = NormalDist()


class Forecast(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Expected run time and cost of a job on an offer. Intervals hold 80 %.

    Attributes:
        speed: how fast it is there; None = not asked for, the time limit counts.
        work_h: expected hours the work takes undisturbed; without work the time limit.
        wait: for the first start.
        interruptions: how often it is stopped.
        running: what that makes of the work.
        saved: a preempted job has the time to save.
        save_s, restart_s: what a stop is taken to cost.
        hours: expected hours it holds its place, which are billed.
        hours_low, hours_high: their interval.
        to_result_h: expected hours from now until it is done.
        to_result_low, to_result_high: their interval.
        cost: expected cost.
        cost_low, cost_high: its interval.
        score: cost plus the value of the time to the result; least is best.
        on_time: probability of being done by the deadline; None = no deadline.
        time_limit_s: limit of one run.
    """

    speed: Speed | None
    work_h: float
    wait: Wait
    interruptions: Interruptions
    running: Running
    saved: bool
    save_s: float
    restart_s: float
    hours: float
    hours_low: float
    hours_high: float
    to_result_h: float
    to_result_low: float
    to_result_high: float
    cost: Decimal
    cost_low: Decimal
    cost_high: Decimal
    score: Decimal
    on_time: float | None
    time_limit_s: int


def job_speed(
    work: Work, offer: Offer, gpus: int, need: Need, evidence: Evidence, catalog: Catalog
) -> Speed | None:
    """Return how fast a job does its work on an offer; None when nothing says it."""
    if work.unit == "hours":
        own = _in_hours(work, evidence)
    elif work.unit == "flop":
        model = catalog.find(offer.gpu_model)
        return None if model is None else peak_speed(model, gpus, need.scaling)
    else:
        own = evidence.own
    return speed_on(
        offer.gpu_model, gpus, own=own, others=evidence.others, catalog=catalog, scaling=need.scaling
    )


def _in_hours(work: Work, evidence: Evidence) -> tuple[Measurement, ...]:
    """Return this job's measurements in hours on the GPU that its work is given in; at least that one."""
    known = Measurement(
        gpu_model=work.gpu_model, gpus=1, per_second=1 / HOUR, job=evidence.job, program=evidence.program
    )
    base = next((item for item in evidence.own if (item.gpu_model, item.gpus) == (work.gpu_model, 1)), None)
    if base is None:
        return (known,)
    return (
        known,
        *(
            msgspec.structs.replace(item, per_second=item.per_second / base.per_second / HOUR)
            for item in evidence.own
            if item is not base
        ),
    )


def forecast(
    need: Need, offer: Offer, shape: Shape, speed: Speed | None, per_hour: Decimal, evidence: Evidence
) -> Forecast:
    """Return what a job on an offer is expected to take and to cost.

    Args:
        need: what was asked for.
        offer: where.
        shape: what it asks of each node there.
        speed: how fast it is there; None = it runs to its time limit.
        per_hour: price of the whole job for an hour.
        evidence: the past and what stopping costs.
    """
    here = evidence.past.get(offer.partition, NOTHING)
    wait, stops = expect_wait(offer, shape, here), expect_interruptions(offer, here)
    if evidence.doubt > 1:
        wait = msgspec.structs.replace(wait, low=wait.low / evidence.doubt, high=wait.high * evidence.doubt)
        stops = msgspec.structs.replace(
            stops, low=stops.low / evidence.doubt, high=stops.high * evidence.doubt
        )
    saved = saved_in_time(offer, evidence.costs, evidence.kill_wait_s)
    work_h = (need.time_s or DEFAULT_LIMIT_S) / HOUR
    spread, above_middle = 0.0, 1.0
    if need.work is not None and speed is not None:
        spread, above_middle = Q90 * speed.sigma, math.exp(speed.sigma**2 / 2)
        work_h = need.work.amount / speed.per_second / HOUR * above_middle

    def run(rate: float) -> Running:
        return expect_running(work_h, rate, stops.failures_per_hour, evidence.costs, saved=saved)

    running = run(stops.preemptions_per_hour)
    worst = run(stops.high) if offer.preemptible else running
    # Without work the job fills its time limit, whatever happens in it.
    hours = work_h if speed is None else running.billed_h + evidence.costs.restart_s / HOUR
    spread = math.hypot(spread, _log_ratio(worst.billed_h, running.billed_h))
    again_h = running.stops * (evidence.requeue_delay_s + wait.seconds) / HOUR
    queued_h = wait.seconds / HOUR + again_h
    to_result, middle = queued_h + hours, queued_h + hours / above_middle
    queued_spread = _log_ratio(wait.high, wait.seconds) * queued_h
    whole_spread = math.hypot(queued_spread, spread * hours) / to_result if math.isfinite(to_result) else 0.0
    cost = _times(per_hour, hours)
    low, high = math.exp(-spread) / above_middle, math.exp(spread) / above_middle
    return Forecast(
        speed=speed,
        work_h=work_h,
        wait=wait,
        interruptions=stops,
        running=running,
        saved=saved,
        save_s=evidence.costs.save_s,
        restart_s=evidence.costs.restart_s,
        hours=hours,
        hours_low=hours * low,
        hours_high=hours * high,
        to_result_h=to_result,
        to_result_low=middle * math.exp(-whole_spread),
        to_result_high=middle * math.exp(whole_spread),
        cost=cost,
        cost_low=_times(cost, low),
        cost_high=_times(cost, high),
        score=cost + _times(need.hour_value, to_result) if need.hour_value else cost,
        on_time=_on_time(need.deadline_s, middle * HOUR, whole_spread),
        time_limit_s=time_limit(need, offer, hours * high),
    )


def time_limit(need: Need, offer: Offer, hours_high: float) -> int:
    """Return the limit of one run: what was asked for, else a close one, for which a place is found sooner.

    The upper end of the expected run time and ten minutes, in steps of five minutes, within the partition's
    limit and the user's: a job that needs longer goes on in its next run.
    """
    if need.time_s is not None:
        return need.time_s
    if need.work is None:
        return DEFAULT_LIMIT_S
    longest = offer.longest_s or 7 * 86400
    if hours_high * HOUR >= longest:
        return longest
    wanted = int(hours_high * HOUR) + _SLACK_S
    return min(longest, -(-wanted // _LIMIT_STEP_S) * _LIMIT_STEP_S)


def _on_time(deadline_s: float | None, expected_s: float, spread: float) -> float | None:
    if deadline_s is None:
        return None
    if deadline_s <= 0 or not math.isfinite(expected_s):
        return 0.0
    sigma = max(spread / Q90, 0.01)
    return _NORMAL.cdf((math.log(deadline_s) - math.log(expected_s)) / sigma)


def _log_ratio(high: float, middle: float) -> float:
    if middle <= 0 or not math.isfinite(high) or not math.isfinite(middle):
        return 0.0
    return max(0.0, math.log(high / middle))


def _times(amount: Decimal, factor: float) -> Decimal:
    """Return an expected amount, in millionths; expectations are floats, charges never come from here."""
    value = float(amount) * factor
    return Decimal("Infinity") if value > _NEVER else Decimal(round(value * 1e6)).scaleb(-6)
