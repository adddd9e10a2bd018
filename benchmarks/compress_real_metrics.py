"""Metrics of the real models: how much of what the original reads and finds the candidate reads and finds."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def same_characters(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return the part of the text's steps read as the original reads them, blanks included."""
    return float((outputs[0].argmax(axis=-1) == data["labels"]).mean())


def same_regions(outputs: list[Array], data: dict[str, Array]) -> float:
    """Return intersection over union of the text regions found (probability above 0.3)."""
    found, expected = outputs[0].squeeze() > 0.3, data["labels"].astype(bool)
    union = (found | expected).sum()
    return float((found & expected).sum() / union) if union else 1.0
