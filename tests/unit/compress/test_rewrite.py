"""Known patterns written the way quantizers and the runtime expect them."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlcost_hpc.compress.methods.rewrite import GELU_OPSET, rewrite

Array = np.ndarray[Any, Any]


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    x: onnx.ValueInfoProto,
    shape: list[Any],
) -> onnx.ModelProto:
    """Return a checked model from ``x`` to ``y``."""
    graph = helper.make_graph(
        nodes,
        "g",
        [x],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def run(made: onnx.ModelProto, x: Array) -> Array:
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"x": x})[0]
    return result


def ops(made: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in made.graph.node)


def written_out_gelu(cube: list[onnx.NodeProto], *, half: float = 0.5) -> onnx.ModelProto:
    """Return GELU in ten operators; ``cube`` makes x3 from x."""
    constants = {
        "three": 3.0,
        "small": 0.044715,
        "root": np.sqrt(2 / np.pi),
        "one": 1.0,
        "half": half,
    }
    nodes = [
        *cube,
        helper.make_node("Mul", ["small", "x3"], ["t1"]),
        helper.make_node("Add", ["x", "t1"], ["t2"]),
        helper.make_node("Mul", ["root", "t2"], ["t3"]),
        helper.make_node("Tanh", ["t3"], ["t4"]),
        helper.make_node("Add", ["t4", "one"], ["t5"]),
        helper.make_node("Mul", ["half", "t5"], ["t6"]),
        helper.make_node("Mul", ["x", "t6"], ["y"], name="end"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])
    return model(nodes, {k: np.float32(v).reshape(()) for k, v in constants.items()}, x, ["n", 8])


POWER = [helper.make_node("Pow", ["x", "three"], ["x3"])]
PRODUCT = [helper.make_node("Mul", ["x", "x"], ["x2"]), helper.make_node("Mul", ["x2", "x"], ["x3"])]


@pytest.mark.parametrize("cube", [POWER, PRODUCT], ids=["power", "product"])
def test_a_written_out_gelu_becomes_one_operator(cube: list[onnx.NodeProto]) -> None:
    """However the cube is written, the values stay and ten operators become one."""
    before = written_out_gelu(cube)
    x = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32) * 3
    expected = run(before, x)
    after = rewrite(before)
    assert ops(after) == {"Gelu": 1}
    assert after.opset_import[0].version == GELU_OPSET
    np.testing.assert_allclose(run(after, x), expected, atol=1e-5)


def test_what_only_looks_like_gelu_stays() -> None:
    """With another constant it is another function, and nothing is touched."""
    before = written_out_gelu(POWER, half=0.4)
    assert ops(rewrite(before)) == ops(before)


def one_hot_product(classes: list[int]) -> onnx.ModelProto:
    table = np.random.default_rng(0).standard_normal((len(classes), 4)).astype(np.float32)
    return model(
        [
            helper.make_node("Unsqueeze", ["x", "last"], ["ids"]),
            helper.make_node("Equal", ["ids", "classes"], ["hits"]),
            helper.make_node("Cast", ["hits"], ["hot"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["hot", "table"], ["y"], name="product"),
        ],
        {
            "last": np.array([-1], np.int64),
            "classes": np.array(classes, np.int32).reshape(1, 1, -1),
            "table": table,
        },
        helper.make_tensor_value_info("x", TensorProto.INT32, ["n", 5]),
        ["n", 5, 4],
    )


def test_a_one_hot_product_becomes_a_lookup() -> None:
    """Ids outside the table, on either side, still give zeros."""
    before = one_hot_product(list(range(6)))
    x = np.array([[0, 5, 3, -1, 6], [2, 2, 100, -100, 1]], np.int32)
    expected = run(before, x)
    after = rewrite(before)
    assert ops(after)["Gather"] == 1
    assert "MatMul" not in ops(after)
    np.testing.assert_array_equal(run(after, x), expected)


def test_classes_out_of_order_are_no_lookup() -> None:
    """A comparison with other numbers than 0..n-1 is left alone."""
    before = one_hot_product([0, 2, 1, 3])
    assert ops(rewrite(before)) == ops(before)


def test_each_layer_gets_a_bias_of_its_own_as_a_vector() -> None:
    """A bias shared by two layers, or written as a matrix, is what quantizers fail on."""
    maker = np.random.default_rng(0)
    before = model(
        [
            helper.make_node("Gemm", ["x", "w1", "b"], ["h"], name="one"),
            helper.make_node("Gemm", ["h", "w2", "b"], ["y"], name="two"),
        ],
        {
            "w1": maker.standard_normal((8, 8)).astype(np.float32),
            "w2": maker.standard_normal((8, 8)).astype(np.float32),
            "b": maker.standard_normal((1, 8)).astype(np.float32),
        },
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8]),
        ["n", 8],
    )
    x = maker.standard_normal((3, 8)).astype(np.float32)
    expected = run(before, x)
    after = rewrite(before)
    names = [node.input[2] for node in after.graph.node]
    assert len(set(names)) == 2
    dims = {item.name: list(item.dims) for item in after.graph.initializer}
    assert [dims[name] for name in names] == [[8], [8]]
    assert "b" not in dims
    np.testing.assert_allclose(run(after, x), expected, rtol=1e-6)
