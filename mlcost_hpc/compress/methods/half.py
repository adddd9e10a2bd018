"""16-bit floats: half the size; faster only on processors that compute in them.

``fp16`` and ``bf16`` store the weights in 16 bits and widen them when the model is loaded, which runs at
the old speed everywhere. ``fp16-compute`` computes in 16 bits, and only where the processor can: elsewhere
that is several times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import (
    Method,
    NotApplicableError,
    Options,
    Rung,
    Subject,
    Workshop,
    only_rung,
)
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.ready import ready
from mlcost_hpc.compress.onnxfile import all_graphs

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx

_COMPUTES_FP16 = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})
_SMALLEST = 256
"""Values below which a constant is not worth a Cast."""


class HalfOptions(Options, frozen=True, kw_only=True):
    """No options."""


def apply_fp16(subject: Subject, rung: Rung, shop: Workshop) -> Subject:  # noqa: ARG001
    """Store the weights in fp16; those too large for it stay as they are."""
    import numpy as np

    return _stored(subject, shop, "fp16", np.dtype(np.float16), float(np.finfo(np.float16).max))


def apply_bf16(subject: Subject, rung: Rung, shop: Workshop) -> Subject:  # noqa: ARG001
    """Store the weights in bf16, which has the range of fp32 and fewer digits than fp16."""
    import ml_dtypes
    import numpy as np

    return _stored(subject, shop, "bf16", np.dtype(ml_dtypes.bfloat16), float(np.finfo(np.float32).max))


def apply_compute(subject: Subject, rung: Rung, shop: Workshop) -> Subject:  # noqa: ARG001
    """Compute in fp16; inputs and outputs stay as they are.

    Raises:
        NotApplicableError: this processor cannot compute in fp16.
    """
    if not shop.processor_flags & _COMPUTES_FP16:
        raise NotApplicableError("this processor does not compute in fp16 (no avx512_fp16, amx_fp16)")
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    source = _with_floats(subject, shop)
    target = shop.path("fp16-compute")
    with quiet():
        onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))
    return Subject(onnx=target)


def store_narrow(model: onnx.ModelProto, kind: np.dtype[np.generic], largest: float) -> None:
    """Turn each large fp32 constant into a narrow one and a Cast, which the runtime folds when it loads."""
    # From the inside out: writing a graph's nodes again makes other objects of the graphs inside them.
    for graph in reversed(list(all_graphs(model.graph))):
        _store_narrow(graph, kind, largest)


def _store_narrow(graph: onnx.GraphProto, kind: np.dtype[np.generic], largest: float) -> None:
    from onnx import TensorProto, helper

    def widened(narrow: str, original: str) -> onnx.NodeProto:
        return helper.make_node("Cast", [narrow], [original], name=f"{narrow}_cast", to=TensorProto.FLOAT)

    nodes = []
    for tensor in graph.initializer:
        if (smaller := _narrowed(tensor, tensor.name, kind, largest)) is not None:
            nodes.append(widened(smaller.name, tensor.name))
            tensor.CopyFrom(smaller)
    for node in graph.node:
        nodes.append(node)
        for held in (
            item.t for item in node.attribute if node.op_type == "Constant" and item.name == "value"
        ):
            original = node.output[0]
            if (smaller := _narrowed(held, original, kind, largest)) is not None:
                held.CopyFrom(smaller)
                node.output[0] = smaller.name
                nodes.append(widened(smaller.name, original))
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _narrowed(
    tensor: onnx.TensorProto, name: str, kind: np.dtype[np.generic], largest: float
) -> onnx.TensorProto | None:
    """Return a large fp32 constant in a narrow type, None for others and for values too large for it."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return None
    values = numpy_helper.to_array(tensor)
    if values.size < _SMALLEST or not np.abs(values).max() <= largest:
        return None
    return numpy_helper.from_array(values.astype(kind), f"{name}_{kind.name}")


def _stored(
    subject: Subject, shop: Workshop, name: str, kind: np.dtype[np.generic], largest: float
) -> Subject:
    import onnx

    model = onnx.load(str(_with_floats(subject, shop)))
    store_narrow(model, kind, largest)
    target = shop.path(name)
    onnx.save(model, str(target))
    shop.note("weights are widened to 32 bits when the model is loaded: half the size at the old speed")
    return Subject(onnx=target)


def _with_floats(subject: Subject, shop: Workshop) -> Path:
    source, facts = ready(subject.onnx, shop)
    if not facts.float_bytes:
        raise NotApplicableError("no weights in 32-bit floats")
    return source


FP16 = Method(name="fp16", options=HalfOptions, rungs=only_rung, apply=apply_fp16)
BF16 = Method(name="bf16", options=HalfOptions, rungs=only_rung, apply=apply_bf16)
FP16_COMPUTE = Method(name="fp16-compute", options=HalfOptions, rungs=only_rung, apply=apply_compute)
