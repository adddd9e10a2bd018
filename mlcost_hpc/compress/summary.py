"""What the whole fleet gained, in a few figures (pure)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.economics import Prices, economics
from mlcost_hpc.compress.standing import choose_best

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.compress.records import Result


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a batch.

    Attributes:
        models: models with at least one row.
        improved: models with a candidate that keeps to all limits.
        bytes_before: size of the improved models.
        bytes_after: size of their fastest candidates.
        spent: what the batch's tasks cost; None where it is not known.
        per_million_before: cost of a million predictions, one million of each improved model.
        per_million_after: the same with their fastest candidates.
        currency: what the costs are in; empty without prices.
    """

    models: int
    improved: int
    bytes_before: int
    bytes_after: int
    spent: Decimal | None
    per_million_before: Decimal | None
    per_million_after: Decimal | None
    currency: str

    def lines(self) -> list[str]:
        """Return the figures as sentences."""
        lines = [f"{self.improved} of {self.models} models have a candidate within all limits"]
        if self.improved:
            ratio = self.bytes_before / self.bytes_after
            before, after = self.bytes_before / 1e6, self.bytes_after / 1e6
            lines.append(f"their size: {before:.1f} MB -> {after:.1f} MB ({ratio:.1f}x smaller)")
        if self.per_million_before is not None and self.per_million_after is not None:
            lines.append(
                f"a million predictions of each: {self.per_million_before:.4f} -> "
                f"{self.per_million_after:.4f} {self.currency}"
            )
        if self.spent is not None:
            lines.append(f"the batch cost {self.spent:.4f} {self.currency}")
        return lines


def summarize(results: Sequence[Result], spent: Mapping[str, Decimal], prices: Prices | None) -> Summary:
    """Return the figures of a batch.

    Args:
        results: all rows.
        spent: task -> what it cost.
        prices: prices of serving; None without a rate card.
    """
    best = list(choose_best(results, "speed").values())
    costs = []
    if prices is not None and prices.core_hour:
        core_hour = next(iter(prices.core_hour.values()))
        costs = [found for result in best if (found := economics(result, core_hour)) is not None]
    return Summary(
        models=len({result.model for result in results}),
        improved=len(best),
        bytes_before=sum(result.size_before or 0 for result in best),
        bytes_after=sum(result.size_after or 0 for result in best),
        spent=sum(spent.values(), Decimal(0)) if spent else None,
        per_million_before=sum((item.before for item in costs), Decimal(0)) if costs else None,
        per_million_after=sum((item.after for item in costs), Decimal(0)) if costs else None,
        currency=prices.currency if prices is not None else "",
    )
