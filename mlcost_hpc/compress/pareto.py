"""The Pareto front: candidates that no other one beats in every respect (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")


def front(items: Sequence[_T], merits: Callable[[_T], tuple[float, ...]]) -> list[_T]:
    """Return the items that no other one dominates, in their order.

    Args:
        items: candidates.
        merits: figures of one candidate, higher is better, all of the same length.
    """
    figures = [merits(item) for item in items]
    return [
        item
        for item, mine in zip(items, figures, strict=True)
        if not any(dominates(other, mine) for other in figures)
    ]


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether ``one`` is nowhere worse and somewhere better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other
