"""int8 weights, activations quantized while running: right for transformers, wrong for convolutions.

Only MatMul, Gemm, attention and recurrent layers are touched: dynamic Conv is several times slower than fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import Method, NotApplicableError, Options, Rung, Subject, Workshop
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.ready import note_processor, ready

if TYPE_CHECKING:
    from collections.abc import Sequence

OPS = ("MatMul", "Gemm", "Attention", "LSTM", "GRU", "Gather", "EmbedLayerNormalization")


class Int8DynamicOptions(Options, frozen=True, kw_only=True):
    """Options.

    Attributes:
        weights: ``int8``; ``uint8`` is slower on most processors.
        per_channel: one scale a channel instead of one a tensor.
        ops: operator types to quantize.
        exclude: nodes that stay in fp32.
    """

    weights: str = "int8"
    per_channel: bool = False
    ops: tuple[str, ...] = OPS
    exclude: tuple[str, ...] = ()


def rungs(subject: Subject, options: Int8DynamicOptions, shop: Workshop) -> Sequence[Rung]:  # noqa: ARG001
    """Return one scale a tensor, then one a channel, then matrix products alone."""
    import msgspec

    narrow = tuple(op for op in options.ops if op in ("MatMul", "Gemm"))
    channel = msgspec.structs.replace(options, per_channel=True)
    return [
        Rung(name="one scale a tensor", options=options),
        Rung(name="one scale a channel", options=channel, mends=frozenset({"wrong", "failed"})),
        Rung(
            name="one scale a channel, matrix products only",
            options=msgspec.structs.replace(channel, ops=narrow),
            mends=frozenset({"wrong", "failed", "slower"}),
            refines=True,
        ),
    ]


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Quantize; see :class:`Int8DynamicOptions`.

    Raises:
        NotApplicableError: the model is quantized already or has no layer of these types.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options: Int8DynamicOptions = rung.options
    source, facts = ready(subject.onnx, shop)
    if not any(facts.weights.get(op) for op in options.ops):
        raise NotApplicableError(f"no layer with constant weights among {', '.join(options.ops)}")
    note_processor(shop)
    target = shop.path("int8-dynamic")
    with quiet():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QUInt8 if options.weights == "uint8" else QuantType.QInt8,
            per_channel=options.per_channel,
            reduce_range=shop.reduce_range and options.weights != "uint8",
            op_types_to_quantize=list(options.ops),
            nodes_to_exclude=list(options.exclude),
            extra_options={"EnableSubgraph": True},  # a branch of If or a body of Loop may hold the weights
        )
    return Subject(onnx=target)


METHOD = Method(name="int8-dynamic", options=Int8DynamicOptions, rungs=rungs, apply=apply)
