"""The recipe ``auto``: which recipes suit an architecture, best first (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import NotApplicableError

if TYPE_CHECKING:
    from mlcost_hpc.compress.onnxfile import OnnxFacts

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm")
_RECURRENT = ("LSTM", "GRU")

_WORTH_IT = 0.1
"""Part of the weights that dynamic int8 must be able to take for it to shrink the file noticeably."""


def suitable(facts: OnnxFacts) -> tuple[str, ...]:
    """Return names of recipes to try one after the other until one keeps to the limits.

    Static int8 for convolutions, dynamic int8 for matrix products and recurrent layers; each is the other's
    second choice, dynamic int8 only where it has weights to work on. Weights stored in 16 bits come last:
    half the size at the old speed, for nearly every model.

    Raises:
        NotApplicableError: the model is quantized already, or has no weights to compress.
    """
    if facts.quantized:
        found = ", ".join(f"{count} {op}" for op, count in facts.quantized.items())
        raise NotApplicableError(f"the model is quantized already ({found})")
    convolutions = sum(facts.weights.get(op, 0) for op in _CONVOLUTIONS)
    products = sum(facts.weights.get(op, 0) for op in _PRODUCTS)
    recurrent = sum(facts.weights.get(op, 0) for op in _RECURRENT)
    if not facts.float_bytes:
        raise NotApplicableError("no weights in 32-bit floats")
    if not convolutions + products + recurrent:
        return ("fp16",)
    # A weight of a convolution is used at every position: few of them can take most of the time.
    if 4 * convolutions >= products + recurrent:
        if products + recurrent < _WORTH_IT * (convolutions + products + recurrent):
            return ("int8-static", "fp16")
        return ("int8-static", "int8-dynamic", "fp16")
    return ("int8-dynamic", "int8-static", "fp16")
