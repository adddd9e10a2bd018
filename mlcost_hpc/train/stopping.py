"""Told to stop: why, how long there is, and what can be saved in that time. Pure, but for one question."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.errors import MlcostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_hpc.slurm.api import Job
    from mlcost_hpc.train.attempts import Reason

TIMEOUT_LEAD_S = 180.0
"""A stop this close to the time limit is a timeout: Slurm warns up to 60 s earlier than it was asked to."""

KILL_WAIT_S = 10.0
"""Time between TERM and KILL that is counted on when nobody says more."""

_ASK_TIMEOUT_S = 2.0
_REQUEUED = frozenset({"PREEMPTED", "REQUEUED"})


class StopPlan(NamedTuple):
    """What to do with the time that is left.

    Attributes:
        finish_background: let the save that is being written come to its end before the last one.
        with_optional: write the optional state too.
    """

    finish_background: bool
    with_optional: bool


def plan_stop(
    left_s: float, *, required_s: float, optional_s: float = 0.0, background_s: float | None = None
) -> StopPlan:
    """Choose what to save before the kill.

    The required state always comes first; it is tried even where the time seems too short, because the
    earlier checkpoints are safe whatever happens.

    Args:
        left_s: seconds until the kill.
        required_s: expected seconds of the last save without the optional state.
        optional_s: expected seconds of the optional state besides.
        background_s: expected seconds until the save that is being written is complete; None = there is
            none.
    """
    waits = background_s is not None and (
        background_s + required_s <= left_s  # there is time for both
        or (required_s > left_s and background_s <= left_s)  # only the one that is under way can be had
    )
    used = required_s + (background_s if waits and background_s is not None else 0.0)
    return StopPlan(finish_background=waits, with_optional=used + optional_s <= left_s)


def ask_slurm(job_id: str) -> Job | None:
    """Return what the controller says about this job; None when it cannot be asked (container, down)."""
    from mlcost_hpc.slurm.connect import connect

    try:
        jobs = connect("cli", timeout_s=_ASK_TIMEOUT_S).slurm.jobs([job_id])
    except MlcostError:
        return None
    return jobs[0] if jobs else None


def find_reason(
    received: signal.Signals | None, environment: Mapping[str, str], job: Job | None, now: float
) -> Reason:
    """Return why the run is being stopped.

    Args:
        received: the first signal.
        environment: the process environment.
        job: Slurm's word; without it the environment decides.
        now: seconds since the epoch.
    """
    if received is signal.SIGINT or "SLURM_JOB_ID" not in environment:
        return "signal"
    if job is not None and (job.preempted is not None or job.state in _REQUEUED):
        return "preempted"
    limit = _find_limit(environment, job)
    if limit is not None and now >= limit - TIMEOUT_LEAD_S:
        return "timeout"
    if job is None or (job.state == "COMPLETING" and job.ended is None):
        return "preempted"  # a job on its way back into the queue has no end
    return "signal"


def _find_limit(environment: Mapping[str, str], job: Job | None) -> float | None:
    """Return when the time limit is reached, in seconds since the epoch; None when nobody says.

    Slurm moves EndTime when a job is preempted or cancelled, so it is not what is wanted here.
    """
    if job is not None and job.started is not None and job.time_limit_s is not None:
        return float(job.started + job.time_limit_s)
    text = environment.get("SLURM_JOB_END_TIME", "")
    return float(text) if text.isdigit() else None


def find_seconds_left(
    received_at: float, environment: Mapping[str, str], job: Job | None, *, now: float | None = None
) -> float:
    """Return how many seconds remain until the kill, counting on too few rather than too many.

    Slurm's own end of the grace time is believed (it moves EndTime there when it preempts); else what the
    launcher passed as $MLCOST_GRACE_S; and at the end of that there is the time between TERM and KILL.

    Args:
        received_at: ``time.monotonic()`` of the signal.
        environment: the process environment.
        job: Slurm's word, if it could be asked.
        now: seconds since the epoch; the clock's by default.
    """
    kill_wait = float(environment.get("MLCOST_KILL_WAIT_S") or KILL_WAIT_S)
    since = time.monotonic() - received_at
    grace = float(environment.get("MLCOST_GRACE_S") or 0.0)
    if job is not None and job.ended is not None:
        return max(job.ended - (time.time() if now is None else now), 0.0) + kill_wait
    return max(grace + kill_wait - since, 0.0)
