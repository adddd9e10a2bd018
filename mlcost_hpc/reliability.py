"""Run time of work that is interrupted at random: published formulas, in hours or any other unit of time.

Sources: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22
(2006), for the interval and the expected run time with Poisson interruptions. Tests check both against Daly's
own figures and against simulation.
"""

from __future__ import annotations

import math

_HARDLY = 1e-9


def daly_interval(save: float, mean_time: float) -> float:
    """Return the work between two saves that wastes least: Daly's higher-order estimate.

    ``sqrt(2 d M) (1 + sqrt(d / 2M) / 3 + (d / 2M) / 9) - d`` for ``d < 2M``, else ``M``.

    Args:
        save: what one save costs, d.
        mean_time: mean time between unwarned interruptions, M; infinite = never.
    """
    if save <= 0:
        return 0.0
    if math.isinf(mean_time):
        return math.inf
    if save >= 2 * mean_time:
        return mean_time
    share = save / (2 * mean_time)
    return math.sqrt(2 * save * mean_time) * (1 + math.sqrt(share) / 3 + share / 9) - save


def expected_time(work: float, *, rate: float, interval: float, save: float, restart: float) -> float:
    """Return the expected running time of work that unwarned interruptions throw back to the last save.

    ``E[T] = (T / tau) (1 / L) exp(L R) (exp(L (tau + d)) - 1)``: restarts can be interrupted as well.

    Args:
        work: time the work takes undisturbed.
        rate: unwarned interruptions per unit of time.
        interval: work between two saves (tau); infinite = never saved.
        save: time of one save (d).
        restart: time to get going again (R).
    """
    if work <= 0:
        return 0.0
    tau = min(interval, work)
    cost = 0.0 if math.isinf(interval) or interval >= work else save
    if rate * work < _HARDLY:
        return work * (1 + cost / tau)
    try:
        return work / tau / rate * math.exp(rate * restart) * math.expm1(rate * (tau + cost))
    except OverflowError:
        return math.inf


def with_warned_stops(running: float, *, rate: float, cost: float) -> float:
    """Return the running time when warned stops, which lose no work, happen at ``rate`` while it runs.

    Every stop costs ``cost`` of running time (saving and starting again), in which further stops can
    happen, so the time is ``running / (1 - rate * cost)``; infinite when stops come faster than that.
    """
    share = rate * cost
    return running / (1 - share) if share < 1 else math.inf
