"""Known patterns written the way quantizers and the runtime expect them: exact, but for rounding.

Exporters of some frameworks write a table lookup as the product of a one-hot matrix, GELU as ten operators,
one bias shared by many layers, or a bias as a matrix. Quantizers fail on the last two, and the first two take
time that has nothing to do with the weights.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]
    Message = TypeVar("Message", onnx.NodeProto, onnx.TensorProto)

GELU_OPSET = 20
"""The operator set that has Gelu."""

_WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")
_BIAS = 2
_LONGEST_CHAIN = 6
"""Operators from Tanh to the end of a GELU that is written out."""

_ARITHMETIC: dict[str, Callable[..., float]] = {
    "Add": operator.add,
    "Mul": operator.mul,
    "Pow": lambda base, exponent: math.pow(base, exponent) if exponent == round(exponent) else math.nan,
    "Tanh": math.tanh,
}
"""What a GELU that is written out is made of."""

_TOLERANCE = 1e-3
_PROBES = (-3.0, -1.5, -0.5, -0.1, 0.0, 0.2, 0.7, 1.3, 2.6)
"""Points at which an expression must be GELU; constants in files are rounded."""


@dataclass
class Graph:
    """A view of a model that finds who makes and who reads a value.

    Attributes:
        model: is changed in place.
        constants: name -> constant.
        makers: name -> node that makes it.
        readers: name -> nodes that read it.
        swaps: identity of a node -> the nodes that take its place.
    """

    model: onnx.ModelProto
    constants: Mapping[str, onnx.TensorProto] = field(init=False)
    makers: Mapping[str, onnx.NodeProto] = field(init=False)
    readers: dict[str, list[onnx.NodeProto]] = field(init=False)
    swaps: dict[int, list[onnx.NodeProto]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes = list(self.model.graph.node)
        self.constants = {item.name: item for item in self.model.graph.initializer}
        self.makers = {name: node for node in nodes for name in node.output}
        self.readers = {}
        for node in nodes:
            for name in set(node.input):
                self.readers.setdefault(name, []).append(node)

    def value(self, name: str) -> Array | None:
        """Return a constant's value, None when it is no constant."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def add(self, name: str, value: Array) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def write(self) -> None:
        """Put the swaps in and drop nodes and constants that nothing reads any more."""
        graph = self.model.graph
        nodes = [new for node in graph.node for new in self.swaps.get(id(node), [node])]
        needed = {item.name for item in graph.output}
        kept = []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                kept.append(_copy(node))
                needed.update(node.input)
                needed.update(_outer_names(node))
        constants = [_copy(item) for item in graph.initializer if item.name in needed]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(constants)


def rewrite(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which every known pattern is written the expected way."""
    from onnx import version_converter

    if gelu_ends(Graph(model)) and _opset(model) < GELU_OPSET:
        model = version_converter.convert_version(model, GELU_OPSET)
    for change in (own_biases, lookups, gelus):
        graph = Graph(model)
        change(graph)
        graph.write()
    return model


def own_biases(graph: Graph) -> None:
    """Give each layer a bias of its own, as a vector: a quantized bias has its layer's scale."""
    taken: set[str] = set()
    for node in graph.model.graph.node:
        if node.op_type not in _WITH_BIAS or len(node.input) <= _BIAS:
            continue
        name = node.input[_BIAS]
        bias = graph.value(name)
        if bias is None or (bias.ndim > 1 and bias.shape != (1, bias.size)):
            continue
        if name in taken or len(graph.readers[name]) > 1 or bias.ndim > 1:
            node.input[_BIAS] = graph.add(f"{name}_of_{node.output[0]}", bias.reshape(-1).copy())
        taken.add(name)


def lookups(graph: Graph) -> None:
    """Write (ids == 0..n-1) x table as a lookup; ids outside the table give zeros, as before."""
    import numpy as np
    from onnx import helper

    for node in graph.model.graph.node:
        table = graph.value(node.input[1]) if node.op_type == "MatMul" else None
        ids, kind = _one_hot_ids(graph, node) if table is not None and table.ndim == 2 else ("", None)
        if table is None or kind is None or not ids:
            continue
        name = node.output[0]
        edge = np.zeros((1, table.shape[1]), table.dtype)
        rows = graph.add(f"{name}_table", np.concatenate([edge, table, edge]))
        low, high, one = (
            graph.add(f"{name}_{what}", np.array(value, kind))
            for what, value in (("low", -1), ("high", len(table)), ("one", 1))
        )
        axis = graph.add(f"{name}_axis", np.array([-1], np.int64))
        graph.swaps[id(node)] = [
            helper.make_node("Squeeze", [ids, axis], [f"{name}_ids"], name=f"{name}_squeeze"),
            helper.make_node("Clip", [f"{name}_ids", low, high], [f"{name}_within"], name=f"{name}_clip"),
            helper.make_node("Add", [f"{name}_within", one], [f"{name}_row"], name=f"{name}_add"),
            helper.make_node("Gather", [rows, f"{name}_row"], [name], name=f"{name}_lookup"),
        ]


def gelus(graph: Graph) -> None:
    """Write each GELU as one operator."""
    from onnx import helper

    for end, x in gelu_ends(graph):
        graph.swaps[id(end)] = [
            helper.make_node("Gelu", [x], [end.output[0]], name=f"{end.name}_gelu", approximate="tanh")
        ]


def gelu_ends(graph: Graph) -> list[tuple[onnx.NodeProto, str]]:
    """Return (last node, input) of each GELU that is written with Tanh.

    Whatever the order of its operators, it is one if it has GELU's values at the probing points.
    """
    found = []
    for node in graph.model.graph.node:
        if node.op_type != "Tanh":
            continue
        end = node
        for _ in range(_LONGEST_CHAIN):
            readers = graph.readers.get(end.output[0], ())
            if len(readers) != 1 or readers[0].op_type not in ("Add", "Mul"):
                break
            end = readers[0]
            x = next((name for name in end.input if _is_gelu(graph, end.output[0], name)), None)
            if x is not None:
                found.append((end, x))
                break
    return found


def _is_gelu(graph: Graph, name: str, x: str) -> bool:
    for probe in _PROBES:
        value = _evaluate(graph, name, x, probe, 0)
        if value is None or not abs(value - _gelu(probe)) <= _TOLERANCE:
            return False
    return True


def _gelu(x: float) -> float:
    """Return GELU in its tanh form (Hendrycks and Gimpel, 2016)."""
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _evaluate(graph: Graph, name: str, x: str, value: float, depth: int) -> float | None:
    """Return the value of an expression of one input, None when it is something else."""
    if name == x:
        return value
    constant = graph.value(name)
    if constant is not None:
        return float(constant.reshape(-1)[0]) if constant.size == 1 else None
    maker = graph.makers.get(name)
    if maker is None or maker.op_type not in _ARITHMETIC or depth > 2 * _LONGEST_CHAIN:
        return None
    numbers = []
    for part in maker.input:
        number = _evaluate(graph, part, x, value, depth + 1)
        if number is None:
            return None
        numbers.append(number)
    return _ARITHMETIC[maker.op_type](*numbers)


def _one_hot_ids(graph: Graph, product: onnx.NodeProto) -> tuple[str, np.dtype[Any] | None]:
    """Return the ids (n, ..., 1) of a one-hot matrix and their type; ("", None) when it is none."""
    import numpy as np

    cast = graph.makers.get(product.input[0])
    equal = graph.makers.get(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
    if equal is None or equal.op_type != "Equal":
        return "", None
    for ids, classes in (tuple(equal.input), tuple(equal.input)[::-1]):
        numbers = graph.value(classes)
        if numbers is None or numbers.dtype.kind != "i" or numbers.shape[-1:] != (numbers.size,):
            continue
        if np.array_equal(numbers.reshape(-1), np.arange(numbers.size)):
            maker = graph.makers.get(ids)
            # Spreading ids over the batch is what the exporter does for Equal; a lookup does without it.
            # Where it does more than that, the answers change and the whole step is left out.
            spread = maker is not None and maker.op_type == "Expand"
            return (maker.input[0] if maker is not None and spread else ids), numbers.dtype
    return "", None


def _outer_names(node: onnx.NodeProto) -> set[str]:
    """Return names that subgraphs of a node may read from the graph around it."""
    names: set[str] = set()
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names.update(inner.input)
                names.update(_outer_names(inner))
            names.update(item.name for item in graph.output)
    return names


def _copy(message: Message) -> Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _opset(model: onnx.ModelProto) -> int:
    return int(next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx")))
