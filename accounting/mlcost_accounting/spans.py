"""Spans of time as ``(from, to)`` in UTC seconds: joined, cut and taken out of each other (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Span = tuple[int, int]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as spans that neither touch nor overlap, in order; empty ones are gone."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if stop <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def within(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return the time that lies in both."""
    limits = joined(others)
    return [
        (max(start, first), min(stop, last))
        for start, stop in joined(spans)
        for first, last in limits
        if first < stop and last > start
    ]


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """Return the time of the spans that lies in none of the holes."""
    gaps = joined(holes)
    found = []
    for start, stop in joined(spans):
        at = start
        for begin, end in gaps:
            if end <= at or begin >= stop:
                continue
            if begin > at:
                found.append((at, begin))
            at = max(at, end)
        if at < stop:
            found.append((at, stop))
    return found
