"""Small ONNX models made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MakeModel = Callable[..., Path]


def linear_model(
    path: Path, *, width: int = 256, classes: int = 10, batch: int | str = "n", seed: int = 0
) -> Path:
    """Write two matrix products with a ReLU between them, float input ``x`` (n, 64), scores (n, classes)."""
    random = np.random.default_rng(seed)
    first = random.standard_normal((64, width)).astype(np.float32) / 8
    second = random.standard_normal((width, classes)).astype(np.float32) / 16
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("MatMul", ["r", "w2"], ["y"], name="second"),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A model of two matrix products."""
    return linear_model(tmp_path / "linear.onnx")


@pytest.fixture
def labelled(tmp_path: Path, linear: Path) -> Path:
    """Samples for it; the labels are its own answers, so that its accuracy is 1."""
    import onnxruntime as ort

    x = np.random.default_rng(1).standard_normal((200, 64)).astype(np.float32)
    y = ort.InferenceSession(str(linear)).run(None, {"x": x})[0].argmax(1)
    path = tmp_path / "data.npz"
    np.savez(path, x=x, labels=y)
    return path
