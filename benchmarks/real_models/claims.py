"""Whether rows that say ``ok`` are borne out by their own figures, by rules of the benchmark's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.compress.records import Result


def falsely_ok(results: Sequence[Result], max_loss: float) -> list[str]:
    """Return the cells that say ``ok`` without being smaller, as fast and as good.

    Args:
        results: the cells.
        max_loss: what of the score may be lost.
    """
    return [f"{r.model} {r.recipe}" for r in results if r.status == "ok" and not holds(r, max_loss)]


def holds(result: Result, max_loss: float) -> bool:
    """Return whether a row's own figures bear out its ``ok``; a speed-up is known to its scatter only."""
    score = result.score
    return (
        (result.shrink or 0) > 1.02
        and bool(result.latency)
        and all(item.speedup > 1 - max(0.04, 2 * item.uncertainty) for item in result.latency)
        and score is not None
        and ((score.loss is not None and score.loss <= max_loss) or (score.relative_error or 1) <= 0.1)
    )
