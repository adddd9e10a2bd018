"""How candidates stand to one another: what they are compared by, the front, the winners (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlcost_hpc.compress.pareto import front

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.compress.records import Latency, Result, Status

Wish = Literal["speed", "size"]


def throughput_latency(result: Result) -> Latency | None:
    """Return the latency at the largest batch size."""
    return max(result.latency, key=lambda item: item.batch, default=None)


def throughput_speedup(result: Result) -> float | None:
    """Return the speed-up at the largest batch size."""
    latency = throughput_latency(result)
    return None if latency is None else latency.speedup


def merits(result: Result) -> tuple[float, ...]:
    """Return what a candidate is compared by: smaller, faster, and how little it lost; higher is better."""
    score = result.score
    quality = 0.0
    if score is not None:
        loss = score.loss if score.loss is not None else score.relative_error
        quality = float("-inf") if loss is None else -round(loss, 6)
    return (round(result.shrink or 0.0, 2), round(throughput_speedup(result) or 0.0, 2), quality)


def pareto_tasks(results: Sequence[Result], among: Sequence[Status] = ("ok",)) -> set[str]:
    """Return the tasks on the front of their model.

    Args:
        results: rows of tasks.
        among: statuses that can be on it.
    """
    models = {result.model for result in results}
    return {
        result.task
        for model in models
        for result in front([r for r in results if r.model == model and r.status in among], merits)
    }


def worth_measuring(results: Sequence[Result]) -> set[str]:
    """Return the tasks that deserve a measurement alone on a node.

    Those on their model's front; what was slower on a shared node may not be slower alone.
    """
    return pareto_tasks(results, ("ok", "slower"))


def choose_best(results: Sequence[Result], wish: Wish) -> dict[str, Result]:
    """Return model -> its best candidate within all limits; models without one are missing."""
    best: dict[str, Result] = {}
    for result in results:
        if result.status == "ok" and (
            result.model not in best or _merit(result, wish) > _merit(best[result.model], wish)
        ):
            best[result.model] = result
    return best


def _merit(result: Result, wish: Wish) -> tuple[float, float]:
    figures = (throughput_speedup(result) or 0.0, result.shrink or 0.0)
    return figures if wish == "speed" else figures[::-1]
