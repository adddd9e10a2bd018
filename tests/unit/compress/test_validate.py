"""What is wrong with a plan's files is said before anything is submitted."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.validate import check_contents
from mlcost_hpc.errors import ConfigError

Harm = Callable[[Path], None]


def old_opset(folder: Path) -> None:
    model = onnx.load(str(folder / "linear.onnx"))
    model.opset_import[0].version = 6
    onnx.save(model, str(folder / "linear.onnx"))


def no_model(folder: Path) -> None:
    (folder / "linear.onnx").write_bytes(b"<html>not found</html>")


def unknown_type(folder: Path) -> None:
    model = onnx.load(str(folder / "linear.onnx"))
    model.graph.input[0].type.tensor_type.elem_type = 999
    onnx.save(model, str(folder / "linear.onnx"))


def weights_elsewhere(folder: Path) -> None:
    model = onnx.load(str(folder / "linear.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/shadow")
    onnx.save(model, str(folder / "linear.onnx"))


def other_width(folder: Path) -> None:
    np.savez(folder / "calibration.npz", x=np.zeros((9, 63), np.float32))


def pickled(folder: Path) -> None:
    np.savez(folder / "calibration.npz", x=np.array([print, 1], dtype=object))


def no_archive(folder: Path) -> None:
    (folder / "calibration.npz").write_bytes(b"PK\x03\x04 cut short")


def other_member(folder: Path) -> None:
    with zipfile.ZipFile(folder / "calibration.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00")


def few_labels(folder: Path) -> None:
    np.savez(folder / "calibration.npz", x=np.zeros((9, 64), np.float32), labels=np.zeros(3))


def bad_code(folder: Path) -> None:
    (folder / "metrics.py").write_text("def mine(outputs, data:\n    return 1\n")


def other_function(folder: Path) -> None:
    (folder / "metrics.py").write_text("raise SystemExit('this file must not be run')\ndef yours(): ...\n")


@pytest.fixture
def plan(tmp_path: Path, labelled: Path) -> Path:
    """A plan with a metric of its own, and nothing wrong."""
    (tmp_path / "metrics.py").write_text("def mine(outputs, data):\n    return 1.0\n")
    np.savez(tmp_path / "calibration.npz", x=np.zeros((9, 64)))
    path = tmp_path / "plan.toml"
    path.write_text(
        'name = "p"\nrecipes = ["int8-static"]\n'
        '[[model]]\nname = "first"\nonnx = "linear.onnx"\n'
        '[[model]]\nname = "second"\nonnx = "linear.onnx"\ndata = "data.npz"\n'
        'calibration = "calibration.npz"\nmetric = "metrics.py:mine"\n'
    )
    return path


def test_what_is_right_is_let_through(plan: Path) -> None:
    """Samples in 64-bit floats are converted later, and no mistake."""
    check_contents(load_plan(plan), plan)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (old_opset, "onnx: operator set 6 is too old: ONNX Runtime runs 7 and later"),
        (no_model, "onnx: linear.onnx is no ONNX file"),
        (unknown_type, "onnx: linear.onnx is damaged"),
        (weights_elsewhere, "keeps weights outside its folder"),
        (other_width, "calibration: calibration.npz: x has shape (9, 63), the model takes (any, 64)"),
        (pickled, "calibration: calibration.npz is no .npz file of plain arrays: Object arrays"),
        (no_archive, "calibration: calibration.npz is no .npz file of plain arrays"),
        (other_member, "calibration: calibration.npz is no .npz file of plain arrays"),
        (few_labels, "calibration: calibration.npz: 3 labels for 9 samples"),
        (bad_code, "metric: metrics.py is no Python"),
        (other_function, "metric: metrics.py has no function mine"),
    ],
)
def test_each_mistake_is_named_with_its_model(plan: Path, harm: Harm, words: str) -> None:
    """Nothing of the plan is run to find it, neither the user's code nor a pickle."""
    harm(plan.parent)
    with pytest.raises(ConfigError) as caught:
        check_contents(load_plan(plan), plan)
    assert words in str(caught.value)
    assert "model 'second': " in str(caught.value)


def test_large_data_is_judged_by_its_headers(plan: Path) -> None:
    """A file with a terabyte's header takes no memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**32, 64)}
    with zipfile.ZipFile(plan.parent / "data.npz", "w") as file, file.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    check_contents(load_plan(plan), plan)
