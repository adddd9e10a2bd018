"""What is in an ONNX file, and what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mlcost_hpc.compress.onnxfile import inspect
from mlcost_hpc.errors import CompressError


def with_external(linear: Path, location: str) -> Path:
    """Return the model with its first weight said to lie at a location."""
    model = onnx.load(str(linear))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value=location)
    target = linear.with_name("external.onnx")
    target.write_bytes(model.SerializeToString())
    return target


def test_facts_of_a_model(linear: Path) -> None:
    """Inputs, operators and weights are found without running the model."""
    facts = inspect(linear)
    assert facts.opset == 17
    assert (facts.inputs[0].name, facts.inputs[0].dtype, facts.inputs[0].shape) == (
        "x",
        "float32",
        (None, 64),
    )
    assert dict(facts.ops) == {"MatMul": 2, "Relu": 1}
    assert facts.weights == {"MatMul": 64 * 256 + 256 * 10}
    assert facts.any_batch
    assert not facts.quantized


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin"])
def test_weights_outside_the_models_folder_are_refused(linear: Path, location: str) -> None:
    """A model from somewhere else cannot make us read other files."""
    with pytest.raises(CompressError, match="outside its folder"):
        inspect(with_external(linear, location))


def test_a_link_out_of_the_folder_is_refused_too(linear: Path, tmp_path: Path) -> None:
    """Links are followed before the folder is compared."""
    (tmp_path / "weights.bin").symlink_to("/etc/passwd")
    with pytest.raises(CompressError, match="outside its folder"):
        inspect(with_external(linear, "weights.bin"))


def test_external_data_beside_the_model_counts_for_its_size(linear: Path, tmp_path: Path) -> None:
    """The size is that of everything one must copy."""
    (tmp_path / "weights.bin").write_bytes(bytes(4 * 64 * 256))
    path = with_external(linear, "weights.bin")
    assert inspect(path).size == path.stat().st_size + 4 * 64 * 256


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04N.", bytes(100)])
def test_something_else_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    """Other files, pickles among them, are refused with their name."""
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(CompressError, match=r"m\.onnx is no ONNX file"):
        inspect(tmp_path / "m.onnx")


def test_operators_inside_branches_are_seen(linear: Path) -> None:
    """Subgraphs of If and Loop count: a quantized node cannot hide there."""
    model = onnx.load(str(linear))
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["a", "b", "c"])], "inner", [], []
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    model.graph.node.append(
        onnx.helper.make_node("If", ["flag"], ["z"], then_branch=inner, else_branch=inner)
    )
    linear.write_bytes(model.SerializeToString())
    assert inspect(linear).quantized == {"DynamicQuantizeLinear": 2}
