"""The model as a quantizer takes it: prepared once in a task, refused when it is quantized already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import NotApplicableError
from mlcost_hpc.compress.methods.prepare import prepare
from mlcost_hpc.compress.node import EXACT_INT8, node_class
from mlcost_hpc.compress.onnxfile import inspect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcost_hpc.compress.methods.base import Workshop
    from mlcost_hpc.compress.onnxfile import OnnxFacts


def ready(source: Path, shop: Workshop) -> tuple[Path, OnnxFacts]:
    """Return the prepared model and what is in it.

    Raises:
        NotApplicableError: it is quantized already.
    """
    refuse_quantized(inspect(source))
    if source not in shop.prepared:
        path, remarks = shop.kept[source]() if source in shop.kept else _prepare(source, shop)
        shop.prepared[source] = path
        shop.notes.extend(f"preparation: {remark}" for remark in remarks)
    path = shop.prepared[source]
    return path, inspect(path)


def note_processor(shop: Workshop) -> None:
    """Note where int8 gains less than elsewhere, for want of products of 8 bits in one instruction."""
    found = node_class(shop.processor_flags)
    if found not in EXACT_INT8:
        shop.note(f"measured on {found}, without VNNI: int8 is faster on processors that have it")


def _prepare(source: Path, shop: Workshop) -> tuple[Path, Sequence[str]]:
    folder = shop.folder / f"prepared-{len(shop.prepared)}"
    folder.mkdir()
    return prepare(source, shop.calibration, folder, shop.threads)


def refuse_quantized(facts: OnnxFacts) -> None:
    """Check that a model is not quantized.

    Raises:
        NotApplicableError: it is; says by which operators.
    """
    if facts.quantized:
        found = ", ".join(f"{count} {op}" for op, count in facts.quantized.items())
        raise NotApplicableError(f"the model is quantized already ({found})")
