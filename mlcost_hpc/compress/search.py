"""From recipe to recipe until a candidate keeps to the limits, leaving each when it has no prospects.

The last recipe has no other to go on to and is climbed to its end, as one that was asked for by name is.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from mlcost_hpc.compress.candidate import QUICK, Candidate, measure_all, speed, weigh
from mlcost_hpc.compress.ladder import Climb, any_prospects, climb
from mlcost_hpc.compress.methods.ready import ready
from mlcost_hpc.compress.promise import broken_promise
from mlcost_hpc.compress.prospects import no_prospects, rounds_too_much

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcost_hpc.compress.manifest import Model, Settings
    from mlcost_hpc.compress.methods.base import Rung, Subject, Workshop
    from mlcost_hpc.compress.recipes import Recipe
    from mlcost_hpc.compress.shared import Shared


def search(
    recipes: Sequence[Recipe],
    subject: Subject,
    shared: Shared,
    model: Model,
    settings: Settings,
    shop: Workshop,
    deadline: float,
    way: Climb,
) -> dict[Path, str]:
    """Climb recipes one after the other; return how each candidate broke its recipe's promise (empty = kept).

    Args:
        recipes: best first.
        subject: the original.
        shared: the original and its answers.
        model: limits and metric.
        settings: threads and batch sizes.
        shop: data and scratch space.
        deadline: ``time.monotonic()`` after which no further rung is begun.
        way: is added to.
    """
    broken: dict[Path, str] = {}

    def weigh_quickly(recipe: Recipe, made: Subject) -> Candidate:
        candidate = weigh(made.onnx, shared, model, settings, QUICK)
        methods = [step.method for step in recipe.steps]
        broken[made.onnx] = broken_promise(methods, shared.facts, candidate.facts)
        return unless_broken(broken[made.onnx], candidate)

    def prospects(found: Sequence[Candidate], rung: Rung) -> str:
        last = found[-1]
        if broken[last.path]:
            return "none of them quantizes more"

        def times_faster_than(before: Path) -> float:
            return measure_all(before, last.path, shared, settings, QUICK)[-1].speedup

        return no_prospects(
            model.limits,
            last.status,
            [item.score for item in found],
            rung,
            speed=lambda: speed(last) or times_faster_than(shared.original),
            gain=lambda: times_faster_than(ready(subject.onnx, shop)[0]),
        )

    for recipe in recipes:
        up = partial(
            climb, recipe, subject, shop, partial(weigh_quickly, recipe), deadline=deadline, result=way
        )
        best = way.best
        if best and (why := rounds_too_much(recipe.name, model.limits, best.status, best.score)):
            shop.note(f"{recipe.name} is left for last: {why}")
            way.left.append(up)
            continue
        up(prospects=any_prospects if recipe == recipes[-1] else prospects)
        if way.reached:
            break
    while way.left and not way.reached:
        way.left.pop(0)()
    return broken


def unless_broken(broken: str, candidate: Candidate) -> Candidate:
    """Return a candidate, as a no-op where its recipe did not do what it promised."""
    return dataclasses.replace(candidate, status="no-op", reason=broken) if broken else candidate
