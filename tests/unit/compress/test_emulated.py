"""Files made on this processor, run on an emulated one without VNNI."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mlcost_hpc.compress import node
from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.check import LARGEST_ERROR, read_checks
from mlcost_hpc.compress.emulated import QEMU, check_emulated
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.outcome import read_outcome
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.report import Extras, rows
from mlcost_hpc.compress.task import do_task
from mlcost_hpc.compress.verdict import portable
from mlcost_hpc.errors import CompressError

needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason="no qemu-x86_64: install qemu-user")


def make(tmp_path: Path, serving: str) -> Batch:
    """Return a batch whose one task has quantized a model; ``serving`` decides how wide its weights are."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'name = "p"\nrecipes = ["int8-dynamic"]\nbatches = [1]\nserving = {serving}\n'
        "[limits]\nmin_speedup = 0.01\nmax_loss = 0.9\nmax_relative_error = 9.0\n"
        '[[model]]\nname = "linear"\nonnx = "linear.onnx"\ndata = "data.npz"\n'
    )
    batch, manifest = Batch(tmp_path / "batch"), expand(load_plan(plan), plan)
    batch.write_manifest(manifest)
    assert do_task(batch, manifest, manifest.tasks[0]).status == "ok"
    return batch


def _all_weights_large(folder: Path) -> None:
    """Put a model and inputs in place whose products fill 16 bits: the worst case, and a legal one."""
    random = np.random.default_rng(0)
    model = onnx.load(str(folder / "linear.onnx"))
    for tensor in model.graph.initializer:
        signs = np.sign(random.standard_normal(tuple(tensor.dims))).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(signs / 8, tensor.name))
    onnx.save(model, str(folder / "linear.onnx"))
    np.savez(folder / "data.npz", x=random.uniform(0.6, 1.0, (64, 64)).astype(np.float32))


@needs_qemu
def test_weights_of_seven_bits_answer_alike_without_vnni(tmp_path: Path, labelled: Path) -> None:
    """What any node may serve is portable, and the check says on which class of processors it was run."""
    batch = make(tmp_path, "[]")
    manifest = batch.manifest()
    found = check_emulated(batch, manifest.tasks[0], "Haswell")
    assert found.node_class == "avx2"
    assert found.passed, found.how_far
    assert read_checks(batch, manifest.tasks[0].id) == [found]
    assert read_outcome(batch, manifest).rows[0].status == "ok"


@needs_qemu
def test_weights_of_eight_bits_saturate_without_vnni(tmp_path: Path, labelled: Path) -> None:
    """Made for VNNI only, they answer differently elsewhere: not portable, and said so.

    Where this processor has no VNNI either, they are off right here, and the emulated one agrees.
    """
    _all_weights_large(tmp_path)
    batch = make(tmp_path, '["avx512_vnni", "avx_vnni", "amx"]')
    manifest = batch.manifest()
    found = check_emulated(batch, manifest.tasks[0], "Haswell")
    [row] = read_outcome(batch, manifest).rows
    assert row.score is not None
    assert row.score.relative_error is not None
    if node.node_class(node.read_processor()[1]) in node.EXACT_INT8:
        assert not found.passed, found.how_far
        assert portable([found], "avx512_vnni") is False
        assert row.status == "ok", "it is right where it will serve"
    else:
        assert found.passed, found.how_far
        assert row.score.relative_error > LARGEST_ERROR


@needs_qemu
def test_a_class_of_its_own_for_old_processors(tmp_path: Path, labelled: Path) -> None:
    """Without AVX2 other code runs; the file is portable to it, and the row says so."""
    batch = make(tmp_path, "[]")
    manifest = batch.manifest()
    found = check_emulated(batch, manifest.tasks[0], "Nehalem")
    assert (found.node_class, found.passed) == ("x86", True)
    [row] = read_outcome(batch, manifest).rows
    [shown] = rows([row], {}, Extras(checks={row.task: [found]}))
    assert shown["portable"] == "yes"
    assert shown["checked_on"].startswith("x86 same")


@needs_qemu
def test_an_unknown_processor_is_one_clear_line(tmp_path: Path, labelled: Path) -> None:
    """QEMU's own words are handed on."""
    batch = make(tmp_path, "[]")
    with pytest.raises(CompressError, match="unable to find CPU model"):
        check_emulated(batch, batch.manifest().tasks[0], "Abacus")


def test_without_qemu_it_is_named(tmp_path: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package to install is in the message."""
    batch = make(tmp_path, "[]")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompressError, match="install qemu-user"):
        check_emulated(batch, batch.manifest().tasks[0], "Haswell")
