"""A choice in words and columns: what fits at what price, and why the rest does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.cli.output import printable

if TYPE_CHECKING:
    from mlcost_hpc.launch.choose import Candidate, Choice

_MOST_REJECTED = 10


def explain_choice(choice: Choice, currency: str) -> str:
    """Return the explanation of a choice, at most 100 columns wide."""
    lines = [f"What fits, best first ({currency}):"]
    lines.append(f"  {'partition':<16} {'GPU':<12} {'per hour':>12} {'hours':>8} {'at most':>12}  kind")
    lines += [_line(candidate) for candidate in choice.ranked]
    if choice.rejected:
        lines.append("What does not:")
        for item in choice.rejected[:_MOST_REJECTED]:
            why = "; ".join(miss.why for miss in item.misses)
            lines.append(f"  {item.offer.partition:<16} {item.offer.label:<12} {why}")
        if len(choice.rejected) > _MOST_REJECTED:
            lines.append(f"  ... and {len(choice.rejected) - _MOST_REJECTED} more")
    return "\n".join(printable(line) for line in lines)


def _line(candidate: Candidate) -> str:
    offer = candidate.offer
    kind = "preemptible" if offer.preemptible else "guaranteed"
    return (
        f"  {offer.partition:<16} {offer.label:<12} {candidate.per_hour:>12.4f} {candidate.hours:>8.2f} "
        f"{candidate.cost:>12.4f}  {kind}"
    )
