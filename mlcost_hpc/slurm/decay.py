"""How the controller adds up usage that counts against limits: its settings, factors of QOS (pure)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.slurm.commands import show_accounting
from mlcost_hpc.slurm.values import parse_limit, text_or_empty

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo


class UsageDecay(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide what the controller keeps of usage.

    Attributes:
        counts: False where the controller adds nothing up (``PriorityType`` is not ``priority/multifactor``).
        half_life_s: seconds after which half of a use is left; 0 = it does not decay.
        calc_period_s: seconds between two times that running jobs are added up.
        reset_period: ``NONE``, ``NOW``, ``DAILY``, ``WEEKLY``, ``MONTHLY``, ``QUARTERLY``, ``YEARLY``.
    """

    counts: bool = True
    half_life_s: int = 0
    calc_period_s: int = 300
    reset_period: str = "NONE"

    def kept(self, age_s: float) -> float:
        """Return the part of a use that is left after a time.

        The controller multiplies by ``1 - 0.693 / PriorityDecayHalfLife`` each second.
        """
        return (1 - 0.693 / self.half_life_s) ** age_s if self.half_life_s else 1.0

    def last_reset(self, now: int, zone: ZoneInfo) -> int:
        """Return when usage last began anew by the calendar, UTC seconds; 0 = never, or not known.

        ``NOW`` clears it once, at a start of the controller that nothing tells of: it is not known.
        """
        today = datetime.fromtimestamp(now, zone).date()
        days = {
            "DAILY": today,
            "WEEKLY": today - timedelta(days=today.isoweekday() % 7),  # weeks begin on Sunday
            "MONTHLY": today.replace(day=1),
            "QUARTERLY": today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1),
            "YEARLY": today.replace(month=1, day=1),
        }
        day = days.get(self.reset_period)
        return 0 if day is None else int(datetime.combine(day, time(), zone).timestamp())


def read_usage_decay(config: Mapping[str, str]) -> UsageDecay:
    """Return what ``config()`` of a cluster says; what it does not say has Slurm's default."""
    half_life = parse_limit(config.get("PriorityDecayHalfLife", "7-00:00:00"))
    return UsageDecay(
        counts=config.get("PriorityType", "priority/multifactor") == "priority/multifactor",
        half_life_s=half_life or 0,
        calc_period_s=parse_limit(config.get("PriorityCalcPeriod", "")) or 300,
        reset_period=text_or_empty(config.get("PriorityUsageResetPeriod", "")).upper() or "NONE",
    )


def show_usage_factors() -> list[str]:
    """Return the command for the ``UsageFactor`` of each QOS."""
    return show_accounting("qos", "format=Name,UsageFactor")


def parse_usage_factors(text: str) -> dict[str, Fraction]:
    """Return QOS -> what its jobs' usage is multiplied by; those without a factor have 1 and are left out."""
    pairs = (line.rpartition("|") for line in text.splitlines())
    return {name: Fraction(factor) for name, _, factor in pairs if name and factor}
