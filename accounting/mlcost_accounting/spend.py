"""Spend tiers: the price falls with what an account spent since the fiscal year began (pure)."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.money import MICROS, round_micros
from mlcost_hpc.rate_rules import Tier

if TYPE_CHECKING:
    from collections.abc import Sequence


class Tiers(msgspec.Struct, frozen=True, kw_only=True):
    """The tiers of a site and the month in which they begin anew."""

    tier: tuple[Tier, ...]
    begins: int

    def year_begins(self, day: int) -> int:
        """Return the first day (number) of the fiscal year in which a day lies."""
        at = date.fromordinal(day)
        year = at.year if at.month >= self.begins else at.year - 1
        return date(year, self.begins, 1).toordinal()

    def discount(self, spent: int) -> int:
        """Return what the tiers take off the first ``spent`` micros of a year, in micros.

        Rounded once on the running sum, so that the days of a year add up.
        """
        taken = Fraction(0)
        tops = [int(tier.above * MICROS) for tier in self.tier[1:]]
        for tier, top in zip(self.tier, [*tops, spent], strict=True):
            part = min(spent, max(top, 0)) - int(tier.above * MICROS)
            if part > 0:
                taken += part * (1 - Fraction(tier.multiplier))
        return round_micros(taken.numerator, taken.denominator)


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Return an amount in parts that are in proportion to weights and add up to it; all zero weigh alike."""
    total = sum(weights)
    if not total:
        weights, total = [1] * len(weights), len(weights)
    parts, done, running = [], 0, 0
    for weight in weights:
        running += weight
        share = Fraction(amount * running, total)
        upto = round_micros(share.numerator, share.denominator)
        parts.append(upto - done)
        done = upto
    return parts
