"""What a recipe promises to do to the weights, and whether it did (pure).

A file that a tool has only tidied up can be smaller and as right as before; a recipe for smaller numbers that
left all of them as they were is no success all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.onnxfile import QUANTIZED_OPS

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlcost_hpc.compress.onnxfile import OnnxFacts

QUANTIZING = frozenset({"int8-static", "int8-dynamic", "qat", "int4", "nncf"})
HALVING = frozenset({"fp16", "bf16", "fp16-compute"})
_NEARLY_ALL = 0.9


def broken_promise(methods: Collection[str], before: OnnxFacts, after: OnnxFacts) -> str:
    """Return what a recipe should have done and did not, in words; empty when it did.

    Args:
        methods: the recipe's methods.
        before: what is in the original.
        after: what is in the candidate.
    """
    if QUANTIZING & set(methods):
        added = [op for op in QUANTIZED_OPS if after.ops.get(op, 0) > before.ops.get(op, 0)]
        if not added:
            return "nothing was quantized: the file was only tidied up"
    if HALVING & set(methods) and before.float_bytes and after.float_bytes > _NEARLY_ALL * after.size:
        return "nothing was stored in 16 bits: the file was only tidied up"
    return ""
