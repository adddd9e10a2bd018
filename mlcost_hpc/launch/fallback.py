"""The plan for a job with a deadline in a place from which it can be preempted (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.launch.interruption import HOUR
from mlcost_hpc.launch.policy import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.launch.choose import Candidate, Choice
    from mlcost_hpc.launch.offers import Offer


def deadline_plan(choice: Choice, offers: Sequence[Offer], requeue_delay_s: float, now: float) -> Plan | None:
    """Return when and where a job is moved after a preemption; None when nothing is to be planned.

    Args:
        choice: the ranked offers of a need with a deadline.
        offers: everything the cluster offers.
        requeue_delay_s: until a requeued job may start again here.
        now: UTC seconds.
    """
    best = choice.best
    sure = sure_place(choice)
    if choice.need.deadline_s is None or sure is None:
        return None
    return Plan(
        deadline=now + choice.need.deadline_s,
        sure_partition=sure.offer.partition,
        sure_wait_s=sure.forecast.wait.high,
        cheap_wait_s=best.forecast.wait.high,
        requeue_delay_s=requeue_delay_s,
        restart_s=best.forecast.restart_s,
        save_s=best.forecast.save_s,
        helper_partition=_helper_partition(offers, sure.offer.partition),
        work_s=best.forecast.work_h * HOUR,
    )


def _helper_partition(offers: Sequence[Offer], otherwise: str) -> str:
    """Return the cheapest guaranteed place for a job without GPUs; the sure partition where there is none."""
    plain = [
        offer
        for offer in offers
        if not offer.has_gpus and not offer.preemptible and offer.gpu_hour is not None
    ]
    return min(plain, key=lambda offer: offer.gpu_hour or 0).partition if plain else otherwise


def sure_place(choice: Choice) -> Candidate | None:
    """Return the cheapest guaranteed place a preemptible choice can be moved to by its partition alone.

    The batch script names GPU type, number, CPUs and time limit; a pending job keeps them when it is moved.
    It keeps its QOS as well: where jobs preempt by QOS, no partition is surer than another.
    """
    best = choice.best
    if not best.offer.preemptible or best.offer.qos:
        return None
    alike = [
        item
        for item in (*choice.ranked, *choice.late)
        if not item.offer.preemptible
        and (item.offer.gpu_type, item.shape) == (best.offer.gpu_type, best.shape)
        and (item.offer.max_time_s is None or item.offer.max_time_s >= best.forecast.time_limit_s)
    ]
    return min(alike, key=lambda item: item.per_hour, default=None)
