"""How often to save, so that what saves cost and what unwarned stops destroy is least together.

Pure functions and small policies; seconds throughout.
"""

from __future__ import annotations

from typing import Protocol

from mlcost_hpc.errors import UsageError
from mlcost_hpc.reliability import daly_interval
from mlcost_hpc.units import parse_time_limit

PRIOR_MTBF_S = 24 * 3600.0
"""Time between unwarned stops that is believed before anything was seen."""

SHORTEST_S = 10.0
"""No automatic interval is shorter: file systems are shared."""

BUSIEST_SHARE = 0.25
"""Saves beside the training are written for at most this share of the time: they use the disk and CPUs."""


def estimate_mtbf(unwarned_stops: int, observed_s: float, *, prior_s: float = PRIOR_MTBF_S) -> float:
    """Return the mean time between unwarned stops: what was seen, and one imagined stop in ``prior_s``.

    That is the posterior mean rate of a Poisson process with a Gamma(1, prior_s) prior, turned over; it
    moves from the prior to the measured value as evidence grows.
    """
    return (observed_s + prior_s) / (unwarned_stops + 1)


class SavePolicy(Protocol):
    """Decides at the end of a step whether to save."""

    def is_due(self, *, step: int, seconds: float) -> bool:
        """Return whether to save after ``step`` steps, ``seconds`` after the latest save or start."""

    def steps_until_due(self, step: int) -> int | None:
        """Return after how many more steps a save will be due; None when that depends on time."""

    def learn(self, *, save_s: float, write_s: float, mtbf_s: float) -> None:
        """Take note of a save.

        Args:
            save_s: how long it held up the training.
            write_s: how long it took in all, beside the training or in its way.
            mtbf_s: mean time between unwarned stops, as far as is known now.
        """


class EverySteps:
    """Save after every ``count`` steps."""

    def __init__(self, count: int) -> None:
        self._count = count

    def is_due(self, *, step: int, seconds: float) -> bool:  # noqa: ARG002
        """Return whether ``step`` is a multiple of the count."""
        return step % self._count == 0

    def steps_until_due(self, step: int) -> int | None:
        """Return the steps to the next multiple of the count."""
        return self._count - step % self._count

    def learn(self, *, save_s: float, write_s: float, mtbf_s: float) -> None:
        """Nothing to learn: the interval is fixed."""


class EverySeconds:
    """Save when ``interval_s`` seconds have passed since the latest save."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s

    def is_due(self, *, step: int, seconds: float) -> bool:  # noqa: ARG002
        """Return whether the interval has passed."""
        return seconds >= self._interval_s

    def steps_until_due(self, step: int) -> int | None:  # noqa: ARG002
        """Return None: it depends on time."""
        return None

    def learn(self, *, save_s: float, write_s: float, mtbf_s: float) -> None:
        """Nothing to learn: the interval is fixed."""


class Adaptive:
    """Save at the interval that loses least, from the measured cost of saves and rate of unwarned stops.

    Attributes:
        interval_s: the interval in force.
    """

    def __init__(self) -> None:
        self._save_s: float | None = None
        self.interval_s = daly_interval(1.0, PRIOR_MTBF_S)

    def is_due(self, *, step: int, seconds: float) -> bool:  # noqa: ARG002
        """Return whether the interval has passed."""
        return seconds >= self.interval_s

    def steps_until_due(self, step: int) -> int | None:  # noqa: ARG002
        """Return None: it depends on time."""
        return None

    def learn(self, *, save_s: float, write_s: float, mtbf_s: float) -> None:
        """Take note of a save; a slow one counts at once, quick ones bring the estimate down slowly."""
        previous = self._save_s
        self._save_s = save_s if previous is None else max(save_s, 0.7 * previous + 0.3 * save_s)
        self.interval_s = max(SHORTEST_S, write_s / BUSIEST_SHARE, daly_interval(self._save_s, mtbf_s))


def parse_policy(save_every: int | str) -> SavePolicy:
    """Return the policy for a number of steps (``500``), a time (``"10m"``) or ``"auto"``.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(save_every, int):
        if save_every < 1:
            msg = f"save_every must be at least 1 step, not {save_every}"
            raise UsageError(msg)
        return EverySteps(save_every)
    if save_every == "auto":
        return Adaptive()
    seconds = parse_time_limit(save_every)
    if not seconds:
        msg = f'save_every must be a number of steps, a time such as "10m", or "auto", not {save_every!r}'
        raise UsageError(msg)
    return EverySeconds(seconds)
