"""Whether more settings of a recipe are worth trying where there is another recipe to go on to (pure).

A recipe that was asked for by name is climbed to its end. ``auto`` is to find a fast candidate in little
time: it leaves a recipe when what it has found shows that the other settings could not win, says why, and
comes back only when nothing else keeps to the limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlcost_hpc.compress.methods.base import Rung
    from mlcost_hpc.compress.plan import Limits
    from mlcost_hpc.compress.records import Score, Status

MOST_MENDED = 4.0
"""Times the limit beyond which refining brings no loss back: in real models it mended at most 71 % of one."""

SMALLEST_LIMIT = 0.005
"""A limit below this counts as this: a multiple of no loss at all is nothing to go by."""

LEAST_GAIN = 1.1
"""How many times faster than the alternative a wrong candidate must be to be worth mending."""

FAR_SLOWER = 0.8
"""Part of the asked speed below which no other setting makes up for what is missing."""


def no_prospects(
    limits: Limits,
    status: Status,
    scores: Sequence[Score],
    rung: Rung,
    speed: Callable[[], float],
    gain: Callable[[], float],
) -> str:
    """Return why a setting and those after it are not worth trying; empty when they may be.

    Args:
        limits: what a candidate must keep to.
        status: the verdict on the last candidate.
        scores: the answers of the recipe's candidates so far, the last one's last.
        rung: the setting that would come next.
        speed: measures how many times faster than the original the last candidate is.
        gain: measures how many times faster it is than the original prepared for quantizers, which is what
            16-bit weights run at.
    """
    if status != "wrong":
        found = speed()
        if found >= FAR_SLOWER * limits.min_speedup:
            return ""
        return f"x{found:.2f} is so far below x{limits.min_speedup:g} that none makes up for it"
    if not rung.refines:
        return ""
    if why := _not_mended(limits, scores):
        return why
    found = gain()
    if found >= LEAST_GAIN:
        return ""
    return f"x{found:.2f} the speed of 16-bit weights is too little gain, and what is more right is slower"


def rounds_too_much(recipe: str, limits: Limits, status: Status, score: Score) -> str:
    """Return why a recipe is not worth beginning; empty when it may be.

    Args:
        recipe: its name.
        limits: what a candidate must keep to.
        status: the verdict on the best candidate of the recipes before it.
        score: and its answers.
    """
    if recipe != "int8-static" or status != "wrong" or not _excess(limits, score) > MOST_MENDED:
        return ""
    return (
        f"ranges found while running lose more than {MOST_MENDED:g} times what is allowed, "
        "and those fixed beforehand are seldom better"
    )


def _not_mended(limits: Limits, scores: Sequence[Score]) -> str:
    """Return why refining will not bring a wrong candidate back within the limits; empty when it may."""
    now = _excess(limits, scores[-1])
    if now > MOST_MENDED:
        return f"more than {MOST_MENDED:g} times what is allowed is lost, which refining does not bring back"
    if len(scores) > 1 and now - 1 > _excess(limits, scores[-2]) - now:
        return "the last setting mended too little for the next one to reach the limits"
    return ""


def _excess(limits: Limits, score: Score) -> float:
    """Return what was lost as a multiple of what is allowed; 0 where outputs are no numbers: nobody knows."""
    if score.relative_error is None:
        return 0.0
    if score.loss is not None:
        return score.loss / max(limits.max_loss, SMALLEST_LIMIT)
    classes = 0.0 if score.agreement is None else (1 - score.agreement) / max(limits.max_loss, SMALLEST_LIMIT)
    return max(classes, score.relative_error / max(limits.max_relative_error, SMALLEST_LIMIT))
