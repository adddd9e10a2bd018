"""What all integer methods need of a model before they start."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import NotApplicableError, Workshop
from mlcost_hpc.compress.onnxfile import OnnxFacts, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def prepare_for_int8(path: Path, shop: Workshop) -> tuple[Path, OnnxFacts]:  # noqa: ARG001
    """Return the model a quantizer can take, and what is in it.

    Raises:
        NotApplicableError: it is quantized already.
    """
    facts = inspect(path)
    if facts.quantized:
        found = ", ".join(f"{count} {op}" for op, count in facts.quantized.items())
        raise NotApplicableError(f"the model is quantized already ({found})")
    return path, facts


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a library's advice off the terminal; what matters is measured afterwards."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
