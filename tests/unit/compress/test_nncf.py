"""NNCF and OpenVINO, the extra: run where they are installed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnxruntime as ort
import pytest

from mlcost_hpc.compress.evaluate import closeness
from mlcost_hpc.compress.feeds import random_feeds
from mlcost_hpc.compress.methods import METHODS
from mlcost_hpc.compress.methods.base import NotApplicableError, Subject, Workshop
from mlcost_hpc.compress.onnxfile import inspect

INSTALLED = find_spec("nncf") is not None and find_spec("openvino") is not None
needs_it = pytest.mark.skipif(not INSTALLED, reason="NNCF is not installed: pip install mlcost-hpc[openvino]")


def workshop(folder: Path, model: Path) -> Workshop:
    (folder / "scratch").mkdir()
    return Workshop(
        folder=folder / "scratch",
        calibration=random_feeds(inspect(model).inputs, 16, 0),
        training=None,
        teacher=lambda: None,
        threads=1,
        seed=0,
        reduce_range=True,
        processor_flags=frozenset({"avx2"}),
    )


@needs_it
def test_nncf_quantizes_and_openvino_is_timed(linear: Path, tmp_path: Path) -> None:
    """The file is int8 and close to the original in ONNX Runtime; the note tells OpenVINO's speed."""
    shop = workshop(tmp_path, linear)
    method = METHODS["nncf"]
    [rung] = method.rungs(Subject(onnx=linear), method.options(), shop)
    made = method.apply(Subject(onnx=linear), rung, shop).onnx
    assert inspect(made).quantized
    assert 2 * inspect(made).size < inspect(linear).size
    inputs = dict(shop.calibration.arrays)
    answers = [ort.InferenceSession(str(path)).run(None, inputs) for path in (linear, made)]
    assert closeness(*answers)[0] < 0.1
    assert "served by OpenVINO: x" in shop.notes[-1]


@needs_it
def test_nothing_is_reported_home(tmp_path: Path) -> None:
    """NNCF's module for usage reports is never loaded, and nothing of it appears in the home folder."""
    script = (
        "from mlcost_hpc.compress.methods.nncf_int8 import _load_nncf; import sys; _load_nncf(); "
        "assert sys.modules['openvino_telemetry'] is None"
    )
    environ = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environ, check=True, timeout=300)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_is_named(linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row says what to install."""
    monkeypatch.setitem(sys.modules, "nncf", None)  # how Python marks a module that is not to be found
    method = METHODS["nncf"]
    with pytest.raises(NotApplicableError, match=r"mlcost-hpc\[openvino\]"):
        method.rungs(Subject(onnx=linear), method.options(), workshop(tmp_path, linear))
