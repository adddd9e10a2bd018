"""The recipe ladder: try the most ambitious setting, step down with a reason while a limit is broken.

The best candidate is kept whatever happens: a limit marks it, nothing deletes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.candidate import Candidate, better, speed
from mlcost_hpc.compress.failure import explain
from mlcost_hpc.compress.methods import METHODS
from mlcost_hpc.compress.methods.base import Method, NotApplicableError, Rung, Subject, Workshop
from mlcost_hpc.compress.records import STATUSES, Attempt, Status
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from mlcost_hpc.compress.recipes import Recipe, Step

Weigh = Callable[[Subject], Candidate]

Prospects = Callable[[Sequence[Candidate], Rung], str]
"""Returns why a rung and those after it are not worth trying after these candidates; empty when they are."""


def any_prospects(found: Sequence[Candidate], rung: Rung) -> str:  # noqa: ARG001
    """Return that every rung is worth trying: the recipe was asked for by name."""
    return ""


@dataclass(kw_only=True)
class Climb:
    """What came of climbing: the best candidate, the way to it, and the last reason when there is none.

    Attributes:
        best: best candidate so far; None when no rung gave a file that runs.
        attempts: every rung tried, in order.
        error: the last failure; None when there was none.
        left: climbs that were broken off, each to be gone on with when nothing else keeps to the limits.
        on_better: called when there is a new best candidate, so that it is kept whatever happens next.
    """

    best: Candidate | None = None
    attempts: list[Attempt] = field(default_factory=list)
    error: Exception | None = None
    left: list[Callable[[], None]] = field(default_factory=list)
    on_better: Callable[[Climb], None] = lambda _: None

    @property
    def reached(self) -> bool:
        """True when a candidate keeps to all limits."""
        return self.best is not None and self.best.status == "ok"


@dataclass(frozen=True, kw_only=True)
class _Ladder:
    """One recipe's ladder.

    Attributes:
        recipe: the recipe's name.
        method: its last step.
        rungs: the settings of that step that are left to try.
        subject: what the step works on.
        last: the verdict on the rung before the first of them; None when there was none.
    """

    recipe: str
    method: Method
    rungs: Sequence[Rung]
    subject: Subject
    last: Status | None = None


def climb(
    recipe: Recipe,
    subject: Subject,
    shop: Workshop,
    weigh: Weigh,
    *,
    deadline: float,
    result: Climb,
    prospects: Prospects = any_prospects,
) -> None:
    """Try a recipe's rungs until a candidate keeps to the limits; adds to ``result``.

    Earlier steps of a chain take their first rung that works; the last step is stepped down.

    Args:
        recipe: a recipe with steps.
        subject: the original.
        shop: data and scratch space.
        weigh: gives the verdict on a subject.
        deadline: ``time.monotonic()`` after which no further rung is begun.
        result: is added to.
        prospects: says when the rest of the ladder is not worth trying.
    """
    began = time.monotonic()
    try:
        for step in recipe.steps[:-1]:
            subject = _first_that_works(step, subject, shop)
        method, rungs = _rungs(recipe.steps[-1], subject, shop)
    except NotApplicableError as error:
        result.error = error
        result.attempts.append(_failed(recipe.name, error, began))
        return
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; the row tells
        result.error = error
        result.attempts.append(_failed(recipe.name, error, began))
        return
    ladder = _Ladder(recipe=recipe.name, method=method, rungs=rungs, subject=subject)
    _climb(ladder, shop, weigh, deadline, result, prospects)


def _climb(
    ladder: _Ladder, shop: Workshop, weigh: Weigh, deadline: float, result: Climb, prospects: Prospects
) -> None:
    """Try rungs until one keeps to the limits, none is left, or the rest has no prospects."""
    last = ladder.last
    found: list[Candidate] = []
    for place, rung in enumerate(ladder.rungs):
        if last is not None and last not in rung.mends:
            continue
        if result.attempts and time.monotonic() > deadline:
            shop.note("the time was up before every setting had been tried")
            return
        if found and last != "failed" and (why := _why_leave(prospects, found, rung, shop)):
            told = msgspec.structs.replace(
                result.attempts[-1],
                reason=f"{result.attempts[-1].reason}; its other settings are left: {why}",
            )
            result.attempts[-1] = told
            rest = replace(ladder, rungs=ladder.rungs[place:], last=last)
            result.left.append(partial(_climb, rest, shop, weigh, deadline, result, any_prospects))
            return
        if (candidate := _try(ladder, rung, shop, weigh, result)) is not None:
            found.append(candidate)
        last = result.attempts[-1].status
        if last in ("ok", "not-applicable"):
            return


def _why_leave(prospects: Prospects, found: Sequence[Candidate], rung: Rung, shop: Workshop) -> str:
    """Return why the rest of a ladder is not worth trying; empty when that cannot be found out."""
    try:
        return prospects(found, rung)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; it costs time only
        shop.note(f"whether more settings are worth trying is not known: {explain(error).reason}")
        return ""


def _try(ladder: _Ladder, rung: Rung, shop: Workshop, weigh: Weigh, result: Climb) -> Candidate | None:
    """Try one rung and add how it went; return what it made, None when it failed."""
    name = f"{ladder.recipe}: {rung.name}"
    began = time.monotonic()
    try:
        candidate = weigh(ladder.method.apply(ladder.subject, rung, shop))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; the row tells
        result.error = error
        result.attempts.append(_failed(name, error, began))
        return None
    result.attempts.append(
        Attempt(
            rung=name,
            status=candidate.status,
            reason=candidate.reason,
            size=candidate.facts.size,
            speedup=speed(candidate),
            loss=candidate.score.loss,
            seconds=round(time.monotonic() - began, 2),
        )
    )
    if better(candidate, result.best, STATUSES):
        result.best = candidate
        result.on_better(result)
    return candidate


def _first_that_works(step: Step, subject: Subject, shop: Workshop) -> Subject:
    """Return what a middle step of a chain makes.

    Raises:
        CompressError: no rung works; the last reason.
    """
    method, rungs = _rungs(step, subject, shop)
    problem: Exception = CompressError(f"{step.method} has no settings")
    for rung in rungs:
        try:
            return method.apply(subject, rung, shop)
        except (NotApplicableError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; the next rung may work
            problem = error
    raise problem


def _rungs(step: Step, subject: Subject, shop: Workshop) -> tuple[Method, Sequence[Rung]]:
    method = METHODS[step.method]
    options = msgspec.convert(step.options, method.options)
    return method, method.rungs(subject, options, shop)


def _failed(rung: str, error: Exception, began: float) -> Attempt:
    is_nothing = isinstance(error, NotApplicableError)
    return Attempt(
        rung=rung,
        status="not-applicable" if is_nothing else "failed",
        reason=explain(error).reason,
        seconds=round(time.monotonic() - began, 2),
    )
