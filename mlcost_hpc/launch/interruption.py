"""How often a job is interrupted on an offer, and what each time costs (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.past import Past, Stops
from mlcost_hpc.reliability import daly_interval, expected_time, with_warned_stops

if TYPE_CHECKING:
    from mlcost_hpc.launch.offers import Offer

HOUR = 3600.0
# What is believed before anything was seen: one stop in so many hours.
_PRIOR_PREEMPTION_H = 24.0
_PRIOR_FAILURE_H = 30 * 24.0


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stopping costs a job, in seconds; its own measurements where there are any.

    Attributes:
        save_s: one save.
        restart_s: from the start of a run to its first new step.
        interval_s: between two saves; None = the best one (Daly).
        checkpoints: the job can be resumed at all; False = it starts from nothing.
    """

    save_s: float = 30.0
    restart_s: float = 60.0
    interval_s: float | None = None
    checkpoints: bool = True


class Interruptions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often a job is stopped.

    Attributes:
        preemptions_per_hour: while it runs.
        low, high: 80 % interval of that.
        failures_per_hour: stops without a warning.
        basis: how it is known.
    """

    preemptions_per_hour: float
    low: float
    high: float
    failures_per_hour: float
    basis: str


class Running(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Expected running of a job that is interrupted.

    Attributes:
        billed_h: hours it holds its place, saves, restarts and lost work included.
        stops: expected number of interruptions.
        overhead_h: ``billed_h`` less the work itself.
        interval_s: between two saves.
    """

    billed_h: float
    stops: float
    overhead_h: float
    interval_s: float


def expect_interruptions(offer: Offer, here: Past) -> Interruptions:
    """Return how often jobs are stopped on an offer: what was seen, and one imagined stop.

    That is the posterior mean of a Poisson rate with a Gamma(1, prior) prior. The interval is that of the
    square root of a Poisson count, which has a standard deviation of one half.

    Args:
        offer: where.
        here: what was seen in this partition. Where jobs preempt by QOS, of preemptions only what happened to
            jobs of the same QOS counts.
    """
    everything = here.failures
    if offer.qos:
        seen, whose = here.stops_of_qos.get((offer.gpu_type, offer.qos), Stops()), f" of QOS {offer.qos}"
    else:
        seen, whose = here.stops.get(offer.gpu_type, Stops()), ""
    failures = (everything.failed + 1) / (everything.hours + _PRIOR_FAILURE_H)
    if not offer.preemptible:
        return Interruptions(
            preemptions_per_hour=0.0, low=0.0, high=0.0, failures_per_hour=failures, basis="never preempted"
        )
    count = seen.preempted + 1
    time = seen.hours + _PRIOR_PREEMPTION_H
    spread = 1.2816 / 2
    root = math.sqrt(count)
    basis = (
        f"{seen.preempted} preemptions in {seen.hours:.0f} h{whose}"
        if seen.runs
        else "no history: one a day is assumed"
    )
    return Interruptions(
        preemptions_per_hour=count / time,
        low=max(0.0, root - spread) ** 2 / time,
        high=(root + spread) ** 2 / time,
        failures_per_hour=failures,
        basis=basis,
    )


def saved_in_time(offer: Offer, costs: Costs, kill_wait_s: int) -> bool:
    """Tell whether a save fits into what a preempted job gets: its grace time, and then KillWait."""
    return costs.checkpoints and costs.save_s <= offer.grace_time_s + kill_wait_s


def expect_running(
    work_h: float, preemptions_per_hour: float, failures_per_hour: float, costs: Costs, *, saved: bool
) -> Running:
    """Return how long a job holds its place for so much work.

    Warned stops that leave time to save cost a save and a restart; all others throw the job back to its last
    save, or to nothing.

    Args:
        work_h: hours the work takes undisturbed.
        preemptions_per_hour: while it runs.
        failures_per_hour: stops without a warning.
        costs: what a stop costs.
        saved: a preempted job has the time to save.
    """
    warned = preemptions_per_hour if saved else 0.0
    unwarned = failures_per_hour + (0.0 if saved else preemptions_per_hour)
    save, restart = costs.save_s / HOUR, costs.restart_s / HOUR
    interval = math.inf
    if costs.checkpoints:
        best = daly_interval(save, 1 / unwarned if unwarned else math.inf)
        interval = best if costs.interval_s is None else costs.interval_s / HOUR
    alone = expected_time(work_h, rate=unwarned, interval=interval, save=save, restart=restart)
    billed = with_warned_stops(alone, rate=warned, cost=save + restart)
    return Running(
        billed_h=billed,
        stops=billed * (warned + unwarned),
        overhead_h=billed - work_h,
        interval_s=min(interval, work_h) * HOUR,
    )
