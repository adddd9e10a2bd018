"""Metrics of the real models: outputs and data -> share that is right or as the original has it."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

EMPTY = 0
"""The class of "no character here"."""


def same_text(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return 1 - edit distance over length between what is read and what the original reads, averaged."""
    found, expected = outputs[0].argmax(axis=-1), data["labels"]
    shares = []
    for one, other in zip(found, expected, strict=True):
        first, second = collapse(one), collapse(other)
        shares.append(1 - edits(first, second) / max(len(first), len(second), 1))
    return float(np.mean(shares))


def collapse(steps: Array) -> list[int]:
    """Return the characters of a line from its steps: repetitions and empty steps go."""
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    return [int(steps[start]) for start in starts if steps[start] != EMPTY]


def edits(one: list[int], other: list[int]) -> int:
    """Return the smallest number of characters to put in, take out or change (Levenshtein)."""
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        current = [row]
        for column, right in enumerate(other, start=1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (left != right)))
        before = current
    return before[-1]


def same_regions(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return intersection over union of the text regions found (probability above 0.3)."""
    return overlap(outputs[0].squeeze() > 0.3, data["labels"].astype(bool))


def same_notes(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return intersection over union of the notes found in each frame (probability above 0.3)."""
    return overlap(outputs[1] > 0.3, data["labels"].astype(bool))


def same_objects(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return intersection over union of the places where an object is found (probability above 0.2)."""
    return overlap(outputs[0][:, 4:] > 0.2, data["labels"].astype(bool))


def same_decisions(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return the part of the windows for which "is this speech" (probability above 0.5) is as before."""
    return float(((outputs[0].reshape(-1) > 0.5) == data["labels"].astype(bool)).mean())


def within_50_cents(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return the part of the tones whose pitch is right within half a semitone; bins are 20 cents wide."""
    cents = 20.0 * outputs[0].argmax(axis=1) + 1997.3794084376191
    return float((np.abs(cents - data["labels"]) <= 50).mean())


def same_neighbour(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return the part of the sentences whose most similar other sentence is the one the original names."""
    similar = outputs[0] @ outputs[0].T
    np.fill_diagonal(similar, -np.inf)
    return float((similar.argmax(axis=1) == data["labels"]).mean())


def overlap(found: Array, expected: Array) -> float:
    """Return intersection over union of two masks."""
    union = (found | expected).sum()
    return float((found & expected).sum() / union) if union else 1.0
