"""What is in an ONNX file, found without running it and without trusting it.

A file from somewhere else may name weights outside its folder, be huge, or be something else altogether; each
is refused with one clear line before any runtime opens it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

LARGEST = 64 * 1024**3
"""Bytes above which a model is refused: this is a compressor for models that fit a node."""

QUANTIZED_OPS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLSTM",
        "ConvInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QGemm",
        "QAttention",
        "MatMulNBits",
        "GatherBlockQuantized",
    }
)
"""Operator types that only a quantized graph has."""


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output.

    Attributes:
        name: its name.
        dtype: NumPy's name of its type.
        shape: sizes; None = any.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class OnnxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a file.

    Attributes:
        size: bytes, external data included.
        opset: version of the standard operator set.
        inputs: what must be fed.
        outputs: what comes out.
        ops: operator type -> number of nodes, subgraphs included.
        weights: operator type -> parameters of the constants it reads.
        float_bytes: bytes of 32-bit float constants.
        parameters: number of constant values.
    """

    size: int
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ops: Mapping[str, int]
    weights: Mapping[str, int]
    float_bytes: int
    parameters: int

    @property
    def quantized(self) -> Mapping[str, int]:
        """Operator types of quantized arithmetic -> number of nodes."""
        return {op: count for op, count in self.ops.items() if op in QUANTIZED_OPS}

    @property
    def any_batch(self) -> bool:
        """True when every input's first axis takes any size."""
        return all(port.shape and port.shape[0] is None for port in self.inputs)


def inspect(path: Path) -> OnnxFacts:
    """Return what is in an ONNX file.

    Raises:
        CompressError: it is no ONNX file, damaged, too large, or names weights outside its own folder.
    """
    import onnx

    size = _size(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise CompressError(f"{path.name} is no ONNX file: {_first_line(error)}") from error
    if not model.graph.node or not model.opset_import:
        raise CompressError(f"{path.name} is no ONNX file: it has no graph")
    size += sum(_size(file) for file in external_files(model, path))
    try:
        return _facts(model, size)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CompressError(f"{path.name} is damaged: {_first_line(error)}") from error


def _facts(model: onnx.ModelProto, size: int) -> OnnxFacts:
    nodes = [node for graph in all_graphs(model.graph) for node in graph.node]
    constants = {item.name: item for graph in all_graphs(model.graph) for item in graph.initializer}
    constants |= _constant_nodes(nodes)
    return OnnxFacts(
        size=size,
        opset=next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0),
        inputs=tuple(_port(item) for item in model.graph.input if item.name not in constants),
        outputs=tuple(_port(item) for item in model.graph.output),
        ops=Counter(node.op_type for node in nodes),
        weights=_weights(nodes, constants),
        float_bytes=4 * sum(_count(item) for item in constants.values() if item.data_type == 1),
        parameters=sum(_count(item) for item in constants.values()),
    )


def external_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Return the files of external data.

    Raises:
        CompressError: one of them lies outside the model's folder, links followed.
    """
    folder = path.resolve().parent
    locations = {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == 1
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = []
    for location in sorted(locations):
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise CompressError(f"{path.name} keeps weights outside its folder ({location!r}): refused")
        files.append(file)
    return files


def changed_ops(before: OnnxFacts, after: OnnxFacts) -> dict[str, int]:
    """Return operator type -> how many nodes more (or, negative, fewer) the second file has."""
    difference = {op: after.ops.get(op, 0) - before.ops.get(op, 0) for op in {*before.ops, *after.ops}}
    return {op: count for op, count in sorted(difference.items()) if count}


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CompressError(f"{path}: {error.strerror}") from error
    if size > LARGEST:
        raise CompressError(f"{path.name} has {size / 1024**3:.0f} GiB: more than the limit of 64 GiB")
    return size


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_graphs(attribute.g)
            for inner in attribute.graphs:
                yield from all_graphs(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _constant_nodes(nodes: list[onnx.NodeProto]) -> dict[str, onnx.TensorProto]:
    """Return what Constant nodes hold: some exporters write every weight as one."""
    return {
        node.output[0]: attribute.t
        for node in nodes
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }


def _weights(nodes: list[onnx.NodeProto], constants: Mapping[str, onnx.TensorProto]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for node in nodes:
        counts[node.op_type] += sum(_count(constants[name]) for name in node.input if name in constants)
    return {op: count for op, count in counts.items() if count}


def _count(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _port(item: onnx.ValueInfoProto) -> Port:
    from onnx import helper

    kind = item.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name if kind.elem_type else "object"
    shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)
    return Port(name=item.name, dtype=dtype, shape=shape)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
