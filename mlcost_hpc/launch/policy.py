"""Whether a job that lost its cheap place should go on in a sure one, to be done by its deadline (pure).

This is Uniform Progress (Wu et al., "Can't Be Late: Optimizing Spot Instance Savings under Deadlines", NSDI
2024) adapted to a queue, on the safe side:

- A running job is left alone: its cheap place costs least until it is taken away.
- The change to the sure place has a queue of its own, so the changeover delay holds the 90 % quantile of
  that wait, the requeue delay and the restart.
- A job is moved once and then stays: every further move would be one more requeue. So of the paper's rules
  the safety net decides, at the last moment at which one more try at the cheap place can still go wrong
  altogether: waiting for it as long as is usual, being stopped before anything is saved, and then moving.
"""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was laid down at submission for the time after a preemption.

    Attributes:
        deadline: UTC seconds.
        sure_partition: the guaranteed partition to move to; it has the same GPUs.
        sure_wait_s: 90 % quantile of the wait there.
        cheap_wait_s: 90 % quantile of the wait in the preemptible place.
        requeue_delay_s: until a requeued job may start again.
        restart_s: from the start of a run to its first new step.
        save_s: one save.
        helper_partition: where the small job runs that moves this one.
        work_s: seconds of the whole work in the preemptible place, undisturbed: what counts as left of a job
            that does not say how far it is.
    """

    deadline: float
    sure_partition: str
    sure_wait_s: float
    cheap_wait_s: float
    requeue_delay_s: float
    restart_s: float
    save_s: float
    helper_partition: str
    work_s: float

    @property
    def changeover_s(self) -> float:
        """Time from being requeued until work goes on in the sure place."""
        return self.requeue_delay_s + self.sure_wait_s + self.restart_s

    @property
    def failed_try_s(self) -> float:
        """Time that one more try at the cheap place can cost without any progress."""
        return self.requeue_delay_s + self.cheap_wait_s + self.restart_s + self.save_s


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A move to another partition, and why."""

    partition: str
    reason: str


def decide(plan: Plan, *, left_s: float, now: float) -> Move | None:
    """Return the move of a job that was just requeued; None = try the cheap place once more.

    Args:
        plan: what was laid down at submission.
        left_s: seconds of work that are left.
        now: UTC seconds.
    """
    remaining = plan.deadline - now
    needed = left_s + plan.changeover_s
    slack = remaining - needed
    if slack >= plan.failed_try_s:
        return None
    return Move(
        partition=plan.sure_partition,
        reason=(
            f"{_hours(remaining)} to the deadline, {_hours(left_s)} of work left and "
            f"{_hours(plan.changeover_s)} to change over: no room for another preemption "
            f"({_hours(plan.failed_try_s)})"
        ),
    )


def _hours(seconds: float) -> str:
    sign = "-" if seconds < 0 else ""
    minutes = abs(seconds) / 60
    return f"{sign}{minutes:.1f} min" if minutes < 120 else f"{sign}{minutes / 60:.1f} h"
