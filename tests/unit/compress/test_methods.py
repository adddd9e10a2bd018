"""The compression methods on small models."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlcost_hpc.compress.evaluate import closeness
from mlcost_hpc.compress.feeds import Feeds, random_feeds
from mlcost_hpc.compress.methods import METHODS
from mlcost_hpc.compress.methods.base import NotApplicableError, Subject, Workshop
from mlcost_hpc.compress.methods.half import store_narrow
from mlcost_hpc.compress.methods.int4 import gemm_to_matmul
from mlcost_hpc.compress.methods.sensitivity import rounding_error
from mlcost_hpc.compress.onnxfile import Port, inspect

X = Port(name="x", dtype="float32", shape=(None, 64))


def workshop(folder: Path, feeds: Feeds | None = None) -> Workshop:
    scratch = folder / "scratch"
    scratch.mkdir()
    return Workshop(
        folder=scratch,
        calibration=feeds or random_feeds([X], 32, 0),
        training=None,
        teacher=lambda: None,
        threads=1,
        seed=0,
        reduce_range=True,
        processor_flags=frozenset({"avx2"}),
    )


def apply(name: str, model: Path, shop: Workshop, rung: int = 0) -> Path:
    method = METHODS[name]
    subject = Subject(onnx=model)
    return method.apply(subject, method.rungs(subject, method.options(), shop)[rung], shop).onnx


def outputs(path: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(str(path)).run(None, inputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "operator", "shrink", "error"),
    [
        ("int8-dynamic", "MatMulInteger", 3.5, 0.03),
        ("int8-static", "QuantizeLinear", 3.4, 0.05),
        ("int4", "MatMulNBits", 5.5, 0.2),
        ("fp16", "Cast", 1.9, 0.001),
        ("bf16", "Cast", 1.9, 0.01),
    ],
)
def test_a_method_shrinks_the_file_and_keeps_the_answers(
    tmp_path: Path, linear: Path, name: str, operator: str, shrink: float, error: float
) -> None:
    """The file has the method's operators, is as small as promised, and answers nearly the same."""
    made = apply(name, linear, workshop(tmp_path))
    before, after = inspect(linear), inspect(made)
    assert after.ops.get(operator)
    assert before.size / after.size > shrink
    inputs = random_feeds([X], 20, 5).at(0, 20)
    assert closeness(outputs(linear, inputs), outputs(made, inputs))[0] < error


@pytest.mark.parametrize("name", ["int8-dynamic", "int8-static", "int4", "fp16"])
def test_a_quantized_model_is_not_quantized_again(tmp_path: Path, linear: Path, name: str) -> None:
    """Quantizing twice ruins a model silently; it is refused with the operators that gave it away."""
    done = apply("int8-dynamic", linear, workshop(tmp_path))
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(NotApplicableError, match=r"quantized already .*MatMulInteger"):
        apply(name, done, workshop(again))


def test_weights_too_large_for_fp16_stay_in_fp32(tmp_path: Path, linear: Path) -> None:
    """No weight turns into infinity."""
    model = onnx.load(str(linear))
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0] = 1e6
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    onnx.save(model, str(linear))
    made = apply("fp16", linear, workshop(tmp_path))
    assert inspect(made).float_bytes >= 4 * weights.size
    found = outputs(made, random_feeds([X], 4, 0).at(0, 4))
    assert np.isfinite(found[0]).all()


def test_fp16_arithmetic_is_refused_where_the_processor_has_none(tmp_path: Path, linear: Path) -> None:
    """On other processors it would be several times slower than fp32."""
    with pytest.raises(NotApplicableError, match="does not compute in fp16"):
        apply("fp16-compute", linear, workshop(tmp_path))


@pytest.mark.parametrize("name", ["prune-channels", "prune-weights", "qat", "distil"])
def test_training_methods_say_that_they_need_the_torch_model(tmp_path: Path, linear: Path, name: str) -> None:
    """An ONNX file cannot be trained; the row says what to give instead."""
    with pytest.raises(NotApplicableError, match="needs"):
        apply(name, linear, workshop(tmp_path))


def test_a_ladder_steps_from_bold_to_cautious(tmp_path: Path, linear: Path) -> None:
    """Every rung of static int8 gives a file that runs; later ones quantize less."""
    shop = workshop(tmp_path)
    method = METHODS["int8-static"]
    count = len(method.rungs(Subject(onnx=linear), method.options(), shop))
    sizes = [inspect(apply("int8-static", linear, shop, rung)).size for rung in range(count)]
    assert sizes[4] > sizes[0]


def test_gemm_becomes_matmul_with_the_same_answers(tmp_path: Path) -> None:
    """4-bit weights exist for MatMul only; a transposed Gemm with bias is rewritten exactly."""
    random = np.random.default_rng(0)
    weights, bias = random.standard_normal((10, 64)).astype(np.float32), np.ones(10, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="g", transB=1)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(model, str(before))
    gemm_to_matmul(model)
    onnx.save(model, str(after))
    assert dict(inspect(after).ops) == {"MatMul": 1, "Add": 1}
    inputs = random_feeds([X], 5, 0).at(0, 5)
    np.testing.assert_allclose(outputs(before, inputs)[0], outputs(after, inputs)[0], rtol=1e-5)


def test_a_layer_with_uneven_channels_is_the_most_sensitive() -> None:
    """One large channel makes the common scale too coarse for the others."""
    even = np.random.default_rng(0).standard_normal((8, 64))
    uneven = even.copy()
    uneven[0] *= 100
    assert rounding_error(uneven[1:]) == pytest.approx(rounding_error(even[1:]))
    scaled = np.concatenate([uneven[:1], even[1:]])
    assert np.linalg.norm(scaled[1:]) < np.linalg.norm(scaled)
    assert rounding_error(np.zeros((3, 3))) == 0.0


def test_every_calibration_sample_counts(tmp_path: Path, linear: Path) -> None:
    """An outlier among the first samples widens the ranges as one among the last does."""
    scales = []
    for place in (0, 31):
        feeds = random_feeds([X], 32, 0)
        feeds.arrays["x"][place] *= 50
        folder = tmp_path / str(place)
        folder.mkdir()
        model = onnx.load(str(apply("int8-static", linear, workshop(folder, feeds))))
        constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        scales.append(max(float(value) for name, value in constants.items() if name == "x_scale"))
    assert scales[0] == pytest.approx(scales[1], rel=0.5)


def test_an_old_operator_set_is_raised_before_quantizing(tmp_path: Path, linear: Path) -> None:
    """Models of operator set 11 cannot be quantized a scale a channel as they are; prepared, they can."""
    model = onnx.load(str(linear))
    model.opset_import[0].version = 11
    onnx.save(model, str(tmp_path / "old.onnx"))
    shop = workshop(tmp_path)
    made = apply("int8-static", tmp_path / "old.onnx", shop)
    assert inspect(made).opset >= 17
    # Where the processor has no VNNI a note says so; what is asked here is that no rung had to be left.
    assert not [note for note in shop.notes if "VNNI" not in note]


def test_dynamic_int8_reaches_weights_inside_branches(tmp_path: Path) -> None:
    """Some exporters put the whole network into a branch of an If: it is quantized there."""
    maker = np.random.default_rng(0)
    branches = {}
    for number, name in enumerate(("then_branch", "else_branch")):
        weights = numpy_helper.from_array(maker.standard_normal((64, 256)).astype(np.float32), f"w{number}")
        branches[name] = helper.make_graph(
            [helper.make_node("MatMul", ["x", f"w{number}"], [f"y{number}"], name=f"product{number}")],
            name,
            [],
            [helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, ["n", 256])],
            [weights],
        )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["y"], name="if", **branches),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )
    path = tmp_path / "branches.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    made = apply("int8-dynamic", path, workshop(tmp_path))
    assert inspect(made).quantized["MatMulInteger"] == 2


def test_half_precision_reaches_weights_in_constant_nodes_and_branches(tmp_path: Path) -> None:
    """Weights that are Constant nodes, inside the branches of an If, are half the size as well."""
    maker = np.random.default_rng(0)
    branches = {}
    for number, name in enumerate(("then_branch", "else_branch")):
        weights = numpy_helper.from_array(maker.standard_normal((64, 256)).astype(np.float32))
        branches[name] = helper.make_graph(
            [
                helper.make_node("Constant", [], [f"w{number}"], value=weights),
                helper.make_node("MatMul", ["x", f"w{number}"], [f"y{number}"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, ["n", 256])],
        )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])
    graph = helper.make_graph([helper.make_node("If", ["flag"], ["y"], **branches)], "g", [x, flag], [y])
    before = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    after = onnx.ModelProto.FromString(before.SerializeToString())
    store_narrow(after, np.dtype(np.float16), 65504.0)
    assert after.ByteSize() < 0.55 * before.ByteSize()
    samples = maker.standard_normal((3, 64)).astype(np.float32)
    for choice in (True, False):
        one, other = (
            ort.InferenceSession(model.SerializeToString()).run(
                None, {"x": samples, "flag": np.array(choice)}
            )
            for model in (before, after)
        )
        assert closeness(one, other)[0] < 1e-3


@pytest.mark.parametrize(("flag", "notes"), [("avx2", 1), ("avx512_vnni", 0)])
def test_int8_on_a_processor_without_vnni_is_noted_once(
    tmp_path: Path, linear: Path, flag: str, notes: int
) -> None:
    """Whoever sees a small speed-up must know that the processor is the reason."""
    shop = dataclasses.replace(workshop(tmp_path), processor_flags=frozenset({flag}))
    apply("int8-dynamic", linear, shop)
    apply("int8-dynamic", linear, shop, rung=1)
    assert sum("VNNI" in note for note in shop.notes) == notes
