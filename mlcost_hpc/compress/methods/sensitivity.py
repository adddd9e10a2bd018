"""Which layers suffer most from 8-bit weights: found on the weights alone, without running the model.

For each layer the weights are rounded to 8 bits with one scale a tensor; the relative error of the rounded
weights, largest first, is the order. A layer whose channels differ much in size comes first, which is what
makes quantized models wrong most often.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlcost_hpc.compress.methods.base import Workshop

_LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_LEVELS = 127


def most_sensitive(source: Path, shop: Workshop, part: float) -> list[str]:
    """Return the names of the most sensitive layers, with the first and last layer before all others.

    Args:
        source: the model.
        shop: gets a remark.
        part: how many, as a part of all layers; at least one.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    constants = {item.name: item for item in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in _LAYERS and node.name]
    errors = {
        node.name: max(
            (
                rounding_error(numpy_helper.to_array(constants[name]))
                for name in node.input[1:2]
                if name in constants
            ),
            default=0.0,
        )
        for node in layers
    }
    ends = [layers[0].name, layers[-1].name] if layers else []
    ranked = ends + sorted((name for name in errors if name not in ends), key=lambda name: -errors[name])
    chosen = ranked[: max(1, math.ceil(part * len(ranked)))]
    shop.notes.append(f"kept in fp32: {', '.join(chosen[:8])}{' ...' if len(chosen) > 8 else ''}")
    return chosen


def rounding_error(weights: np.ndarray[Any, Any]) -> float:
    """Return the relative error of weights rounded to 8 bits with one scale."""
    import numpy as np

    values = weights.astype(np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    scale = largest / _LEVELS
    return float(np.linalg.norm(values - np.round(values / scale) * scale) / np.linalg.norm(values))
