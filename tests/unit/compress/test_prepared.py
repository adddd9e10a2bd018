"""The original prepared once for all tasks of a model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlcost_hpc.compress import prepared
from mlcost_hpc.compress.feeds import random_feeds
from mlcost_hpc.compress.methods.prepare import prepare
from mlcost_hpc.compress.onnxfile import Port, inspect
from mlcost_hpc.compress.prepared import prepared_original
from mlcost_hpc.compress.shared import Shared

X = Port(name="x", dtype="float32", shape=(None, 64))


def shared_of(folder: Path, model: Path) -> Shared:
    feeds = random_feeds([X], 8, 0)
    return Shared(
        folder=folder,
        original=model,
        facts=inspect(model),
        feeds=feeds,
        outputs=[],
        calibration=feeds,
        training=None,
    )


def test_a_model_is_prepared_once_for_all_its_tasks(
    tmp_path: Path, linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second task takes the file and the remarks of the first, and leaves nothing else behind."""
    folder = tmp_path / "shared"
    folder.mkdir()
    shared = shared_of(folder, linear)
    first = prepared_original(shared, 1)
    monkeypatch.setattr(prepared, "prepare", lambda *_: pytest.fail("prepared again"))
    assert prepared_original(shared, 1) == first
    assert first[0].parent == folder
    assert sorted(path.name for path in folder.iterdir()) == ["prepared.json", "prepared.onnx"]


def test_where_every_step_fails_the_original_is_used(
    tmp_path: Path, linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is copied then; the remarks say why."""
    monkeypatch.setattr(prepared, "prepare", lambda source, *_: (source, ["basic optimization left out: no"]))
    found, remarks = prepared_original(shared_of(tmp_path, linear), 1)
    assert found == linear
    assert remarks == ("basic optimization left out: no",)


def test_preparation_parts_a_bias_that_layers_share(tmp_path: Path) -> None:
    """A quantized bias has its layer's scale; no step is left out, and each layer has its own."""
    maker = np.random.default_rng(0)
    arrays = {
        "w1": maker.standard_normal((64, 64)).astype(np.float32) / 8,
        "w2": maker.standard_normal((64, 64)).astype(np.float32) / 8,
        "b": maker.standard_normal(64).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b"], ["h"], name="one"),
            helper.make_node("Gemm", ["h", "w2", "b"], ["y"], name="two"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    source = tmp_path / "shared-bias.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(source)
    )
    path, remarks = prepare(source, random_feeds([X], 8, 0), tmp_path, 1)
    assert remarks == []
    biases = [node.input[2] for node in onnx.load(str(path)).graph.node]
    assert len(set(biases)) == 2
