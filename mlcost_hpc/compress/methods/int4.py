"""int4 weights, fp32 arithmetic: a small file, no speed on a CPU beyond batch 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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

if TYPE_CHECKING:
    import onnx


class Int4Options(Options, frozen=True, kw_only=True):
    """Options.

    Attributes:
        block: weights that share a scale.
        symmetric: no zero point.
        bits: 4 or 8.
    """

    block: Literal[16, 32, 64, 128] = 32
    symmetric: bool = True
    bits: Literal[4, 8] = 4


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Quantize the constant matrices of MatMul nodes.

    Raises:
        NotApplicableError: the model is quantized already or has no MatMul with constant weights.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    options: Int4Options = rung.options
    source, facts = ready(subject.onnx, shop)
    if not facts.weights.get("MatMul") and not facts.weights.get("Gemm"):
        raise NotApplicableError("no matrix product with constant weights: nothing that can have 4-bit ones")
    model = onnx.load(str(source))
    gemm_to_matmul(model)
    with quiet():
        quantizer = MatMulNBitsQuantizer(
            model, bits=options.bits, block_size=options.block, is_symmetric=options.symmetric
        )
        quantizer.process()
    target = shop.path(f"int{options.bits}")
    onnx.save(quantizer.model.model, str(target))
    shop.note(f"int{options.bits} weights save space, not time: no speed-up above batch 1")
    return Subject(onnx=target)


def gemm_to_matmul(model: onnx.ModelProto) -> None:
    """Write each plain Gemm with constant weights as MatMul and Add: only MatMul has 4-bit weights."""
    from onnx import helper, numpy_helper

    constants = {item.name: item for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        is_plain = (
            node.op_type == "Gemm"
            and node.input[1] in constants
            and not settings.get("transA", 0)
            and settings.get("alpha", 1.0) == 1.0
            and settings.get("beta", 1.0) == 1.0
        )
        if not is_plain:
            nodes.append(node)
            continue
        weights = numpy_helper.to_array(constants[node.input[1]])
        if settings.get("transB", 0):
            weights = weights.T
        name, product = f"{node.input[1]}_for_{node.output[0]}", f"{node.output[0]}_product"
        model.graph.initializer.append(numpy_helper.from_array(weights.copy(), name))
        has_bias = len(node.input) > 2 and node.input[2]
        output = product if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [output], name=f"{node.name}_matmul"))
        if has_bias:
            nodes.append(
                helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}_add")
            )
    used = {name for node in nodes for name in node.input}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


METHOD = Method(name="int4", options=Int4Options, rungs=only_rung, apply=apply)
