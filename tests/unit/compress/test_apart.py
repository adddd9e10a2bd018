"""Files made on this processor, run on others: emulated ones, and this one as an older one would."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from mlcost_hpc.cli.main import cli
from mlcost_hpc.compress import node
from mlcost_hpc.compress.apart import check_apart
from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.check import LARGEST_ERROR, Check, check_here, read_checks
from mlcost_hpc.compress.emulated import QEMU, check_emulated
from mlcost_hpc.compress.hidden import CLASSES, answer_as, check_like
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.outcome import read_outcome
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.report import Extras, rows
from mlcost_hpc.compress.task import do_task
from mlcost_hpc.compress.verdict import portable
from mlcost_hpc.errors import CompressError, UsageError

needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason="no qemu-x86_64: install qemu-user")

EVERYTHING = (2**32 - 1,) * 4
"""What a processor with all features answers to CPUID."""

HIDE = "from mlcost_hpc.compress.hidden import hide_beyond; hide_beyond({name!r}); "


def in_a_process(code: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture
def hides() -> None:
    """Skip where the processor or its kernel cannot hide instructions."""
    done = in_a_process(HIDE.format(name="x86"))
    if "cannot hide instructions" in done.stderr:
        pytest.skip("no CPUID faulting on this machine")
    assert done.returncode == 0, done.stderr


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


def test_fewer_samples_are_compared_with_the_same_calls(tmp_path: Path, labelled: Path) -> None:
    """Dynamic quantization scales by all that is in a call: other calls would differ by themselves."""
    batch = make(tmp_path, "[]")
    manifest = batch.manifest()
    for samples in (1, 2, 8, 64):
        assert check_here(batch, manifest, manifest.tasks[0], samples=samples).relative_error == 0


def has(name: str, leaf: int, register: int, bit: int, subleaf: int = 0) -> bool:
    """Return whether a processor of a class has a feature, said by one bit of CPUID."""
    return bool(answer_as(name, leaf, subleaf, EVERYTHING)[register] >> bit & 1)


def test_each_class_has_what_the_older_ones_have() -> None:
    """The features by which node classes are told apart, and that the rest stays as it is."""
    features = {
        "amx_int8": [has(name, 7, 3, 25) for name in CLASSES],
        "vnni": [has(name, 7, 2, 11) for name in CLASSES],
        "avx_vnni": [has(name, 7, 0, 4, subleaf=1) for name in CLASSES],
        "avx512f": [has(name, 7, 1, 16) for name in CLASSES],
        "avx2": [has(name, 7, 1, 5) for name in CLASSES],
        "fma": [has(name, 1, 2, 12) for name in CLASSES],
        "sse42": [has(name, 1, 2, 20) for name in CLASSES],
    }
    assert features == {
        "amx_int8": [False, False, False, False],
        "vnni": [True, False, False, False],
        "avx_vnni": [True, False, False, False],
        "avx512f": [True, True, False, False],
        "avx2": [True, True, True, False],
        "fma": [True, True, True, False],
        "sse42": [True, True, True, True],
    }
    assert answer_as("x86", 0, 0, EVERYTHING) == EVERYTHING


def test_leaves_without_parts_ignore_the_part() -> None:
    """ECX holds whatever it held when a program asks for a leaf that has no parts."""
    assert answer_as("x86", 1, 12345, EVERYTHING) == answer_as("x86", 1, 0, EVERYTHING) != EVERYTHING


@pytest.mark.usefixtures("hides")
def test_libraries_see_the_older_processor() -> None:
    """Asked in there, the processor is of the class that was named; a newer one it cannot be."""
    see = "from mlcost_hpc.compress.apart import class_seen; print(class_seen())"
    done = in_a_process(HIDE.format(name="x86") + see)
    assert (done.stdout, done.returncode) == ("x86\n", 0)
    twice = in_a_process(HIDE.format(name="x86") + HIDE.format(name="avx2"))
    assert "cannot stand in for avx2: what is left of it is x86" in twice.stderr


@pytest.mark.usefixtures("hides")
def test_other_faults_end_the_process_as_ever() -> None:
    """The handler answers CPUID only."""
    done = in_a_process(HIDE.format(name="x86") + "import ctypes; ctypes.string_at(8)")
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.usefixtures("hides")
def test_weights_of_eight_bits_saturate_like_an_older_processor(tmp_path: Path, labelled: Path) -> None:
    """Its own code runs: it saturates, by as much as QEMU says, and the check can fail."""
    _all_weights_large(tmp_path)
    batch = make(tmp_path, '["avx512_vnni", "avx_vnni", "amx"]')
    [task] = batch.manifest().tasks
    found = check_like(batch, task, "avx2")
    assert found.node_class == "avx2"
    assert read_checks(batch, task.id) == [found]
    if node.node_class(node.read_processor()[1]) in node.EXACT_INT8:
        assert not found.passed, found.how_far
        assert read_outcome(batch, batch.manifest()).rows[0].status == "ok", "it is right where it will serve"
    else:
        assert found.passed, found.how_far
    if shutil.which(QEMU) is not None:
        emulated = check_emulated(batch, task, "Haswell", samples=64)
        assert found.relative_error == pytest.approx(emulated.relative_error, abs=1e-4)


@pytest.mark.usefixtures("hides")
def test_weights_of_seven_bits_answer_alike_like_an_older_processor(tmp_path: Path, labelled: Path) -> None:
    """What any node may serve is portable, even with the largest weights there are."""
    _all_weights_large(tmp_path)
    batch = make(tmp_path, "[]")
    for name in ("avx2", "x86"):
        found = check_like(batch, batch.manifest().tasks[0], name)
        assert (found.node_class, found.passed) == (name, True), found.how_far


@pytest.mark.usefixtures("hides")
def test_the_command_shows_what_differs(tmp_path: Path, labelled: Path) -> None:
    """One row a candidate, with the class it was checked on; only one other place at a time."""
    folder = str(make(tmp_path, "[]").folder)
    said = CliRunner().invoke(cli, ["compress", "check", folder, "--like", "x86", "--format", "json"])
    [row] = json.loads(said.stdout)
    assert (row["checked_on"], row["same"]) == ("x86", True)
    both = CliRunner().invoke(cli, ["compress", "check", folder, "--like", "x86", "--emulate", "Nehalem"])
    assert isinstance(both.exception, UsageError)
    assert str(both.exception) == "--like and --emulate exclude each other"


def test_a_class_nobody_stands_in_for_is_refused(tmp_path: Path, labelled: Path) -> None:
    """With those that there are."""
    batch = make(tmp_path, "[]")
    with pytest.raises(UsageError, match="avx512_vnni, avx512, avx2, x86"):
        check_like(batch, batch.manifest().tasks[0], "i386")


@pytest.mark.parametrize(("said", "found"), [("{check}\necho bye", True), ("echo bye", False), ("", False)])
def test_what_a_library_says_after_the_answer_is_not_the_answer(
    tmp_path: Path, labelled: Path, said: str, found: bool
) -> None:
    """And an answer that never came is one line for the user."""
    batch = make(tmp_path, "[]")
    task = batch.manifest().tasks[0]
    check = Check(task=task.id, node_class="avx2", host="h", relative_error=0.0, agreement=None)
    program = tmp_path / "program"
    answer = f"echo '{msgspec.json.encode(check).decode()}'"
    program.write_text("#!/bin/sh\n" + said.replace("{check}", answer) + "\n")
    program.chmod(0o755)
    if found:
        assert check_apart([str(program)], batch, task, 2, "a stub", 30.0) == check
    else:
        with pytest.raises(CompressError, match="on a stub: ended without an answer"):
            check_apart([str(program)], batch, task, 2, "a stub", 30.0)
