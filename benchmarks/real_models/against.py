"""The recipe `auto` against trying every recipe: how fast its find is, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.standing import throughput_speedup

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlcost_hpc.compress.records import Result


def auto_against_search(
    results: Sequence[Result], model: str, left_out: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return what `auto` reached and took for a model, in parts of what trying every other recipe did.

    What `auto` finds counts only where it keeps to the limits. Time is the tasks' own: what all tasks of a
    model share is made before, or by the first of them.

    Args:
        results: all rows.
        model: the model.
        left_out: recipes that `auto` does not choose from.

    Returns:
        None where `auto` or the others have not run, or no recipe keeps to the limits.
    """
    tried = {result.recipe: result for result in results if result.model == model}
    auto = tried.pop("auto", None)
    others = [result for name, result in tried.items() if name not in left_out]
    best = max((result for result in others if result.status == "ok"), key=_speedup, default=None)
    if auto is None or best is None:
        return None
    seconds = sum(result.seconds for result in others)
    return {
        "status": auto.status,
        "speedup": _speedup(auto) / _speedup(best) if auto.status == "ok" else 0.0,
        "best": best.recipe,
        "time": auto.seconds / seconds,
        "auto_s": auto.seconds,
        "search_s": round(seconds, 2),
        "recipes": sorted(result.recipe for result in others),
    }


def whole_fleet(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the same over all models: the seconds of all, and the worst speed-up; None without models."""
    if not rows:
        return None
    return {
        "models": len(rows),
        "time": sum(row["auto_s"] for row in rows) / sum(row["search_s"] for row in rows),
        "within_a_quarter": sum(row["time"] <= 0.25 for row in rows),
        "worst_speedup": min(row["speedup"] for row in rows),
    }


def _speedup(result: Result) -> float:
    """Return the speed-up at the largest batch size, 0 where there is none."""
    return throughput_speedup(result) or 0.0
