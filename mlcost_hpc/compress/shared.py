"""What all tasks of one model share, made once by the first stage: the original as ONNX and its own answers.

A task that finds nothing (the first stage was preempted, or skipped) makes it itself. The folder appears by a
rename, so that of several makers one wins and the others use its work.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.compress.batch import Batch, read_json
from mlcost_hpc.compress.evaluate import EVALUATION_BATCH, run_all
from mlcost_hpc.compress.feeds import Feeds, load_feeds, random_feeds
from mlcost_hpc.compress.manifest import Model, Settings, hash_file
from mlcost_hpc.compress.onnxfile import OnnxFacts, Port, inspect
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, Any]

_RANDOM_SAMPLES = 32
_EXPORTED = "original.onnx"
_OUTPUTS = "outputs.npz"
_TEACHER = "teacher.npy"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside the files.

    Attributes:
        facts: what is in the original.
        versions: library -> version, of those that made it.
    """

    facts: OnnxFacts
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all tasks of one model start from.

    Attributes:
        folder: where it is.
        original: the original as an ONNX file.
        facts: what is in it.
        feeds: evaluation samples.
        outputs: the original's outputs on them.
        calibration: samples for calibration: the plan's, else evaluation samples.
        training: samples with labels to train on, None without.
    """

    folder: Path
    original: Path
    facts: OnnxFacts
    feeds: Feeds
    outputs: Sequence[Array]
    calibration: Feeds
    training: Feeds | None


def ensure_shared(batch: Batch, model: Model, settings: Settings) -> Shared:
    """Return what the tasks of a model share, made now if it is missing.

    Raises:
        CompressError: the model, its data or its code cannot be used; says which and why.
    """
    folder = batch.shared(model.key)
    if not (folder / "shared.json").exists():
        _make(folder, model, settings)
    return _open(folder, model, settings)


def _make(folder: Path, model: Model, settings: Settings) -> None:
    from mlcost_hpc.compress.versions import library_versions

    check_unchanged(model)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        original = _original(temporary, model, settings)
        facts = inspect(original)
        feeds = _evaluation(model, settings, facts.inputs)
        outputs = run_all(open_session(original, settings.threads), feeds, call_size(facts, EVALUATION_BATCH))
        _save_outputs(temporary / _OUTPUTS, outputs)
        stored = Stored(facts=facts, versions=library_versions())
        (temporary / "shared.json").write_bytes(msgspec.json.encode(stored))
        # Another task that finished first has filled the folder: its work is as good, ours goes.
        with contextlib.suppress(OSError):
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(folder: Path, model: Model, settings: Settings) -> Shared:
    import numpy as np

    stored = read_json(folder / "shared.json", Stored)
    original = Path(model.spec.onnx) if model.spec.onnx else folder / _EXPORTED
    feeds = _evaluation(model, settings, stored.facts.inputs)
    with np.load(folder / _OUTPUTS, allow_pickle=False) as file:
        outputs = [file[f"output{index}"] for index in range(len(file.files))]
    return Shared(
        folder=folder,
        original=original,
        facts=stored.facts,
        feeds=feeds,
        outputs=outputs,
        calibration=_calibration(model, settings, stored.facts.inputs, feeds),
        training=load_feeds(Path(model.spec.training), stored.facts.inputs) if model.spec.training else None,
    )


def teacher_answers(shared: Shared, threads: int) -> Array:
    """Return the original's first output on the training data, (samples, classes); computed once a model.

    Raises:
        CompressError: there is no training data.
    """
    import numpy as np

    path = shared.folder / _TEACHER
    if not path.exists():
        if shared.training is None:
            raise CompressError("there is no training data to teach on")
        answers = run_all(open_session(shared.original, threads), shared.training, EVALUATION_BATCH)[0]
        content = io.BytesIO()
        np.save(content, answers)
        write_file(path, content.getvalue())
    stored: Array = np.load(path, allow_pickle=False)
    return stored


def check_unchanged(model: Model) -> None:
    """Check that every file is still the one that was planned.

    Raises:
        CompressError: a file has gone or has other content.
    """
    for key, digest in model.hashes.items():
        value = getattr(model.spec, key)
        path = Path(value.rpartition(":")[0] if key in ("factory", "metric") else value)
        if hash_file(path) != digest:
            raise CompressError(f"{path} has changed since this batch was planned: plan it again")


def call_size(facts: OnnxFacts, wanted: int) -> int:
    """Return how many samples one call can take: the wanted number, or what the model has fixed."""
    if facts.any_batch:
        return wanted
    fixed = {port.shape[0] for port in facts.inputs if port.shape and port.shape[0] is not None}
    return fixed.pop() if len(fixed) == 1 else 1


def _original(folder: Path, model: Model, settings: Settings) -> Path:
    if model.spec.onnx:
        return Path(model.spec.onnx)
    from mlcost_hpc.compress.torchmodel import export, load_module

    module = load_module(model.spec.factory or "", Path(model.spec.state or ""))
    target = folder / _EXPORTED
    export(module, example_of(model, settings), target)
    return target


def example_of(model: Model, settings: Settings) -> dict[str, Array]:
    """Return a few samples of a torch model's inputs, by input name.

    Raises:
        CompressError: the plan names no data from which the inputs' shapes could be seen.
    """
    import numpy as np

    path = model.spec.data or model.spec.calibration or model.spec.training
    if path is None:
        raise CompressError("a torch model needs data (.npz): its inputs' shapes are read from it")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "labels"}
    count = max(4, min(8, settings.samples))
    return {
        name: array[:count].astype(np.float32 if array.dtype == np.float64 else array.dtype)
        for name, array in arrays.items()
    }


def _evaluation(model: Model, settings: Settings, ports: Sequence[Port]) -> Feeds:
    if model.spec.data is None:
        return random_feeds(ports, min(_RANDOM_SAMPLES, settings.samples), settings.seed)
    return load_feeds(Path(model.spec.data), ports).slice(0, settings.samples)


def _calibration(model: Model, settings: Settings, ports: Sequence[Port], feeds: Feeds) -> Feeds:
    """Return calibration samples; training data before scored data, so that nobody is tested on them."""
    source = model.spec.calibration or model.spec.training
    if source is not None:
        return load_feeds(Path(source), ports).slice(0, settings.calibration_samples)
    if model.spec.data is None:
        return random_feeds(ports, min(_RANDOM_SAMPLES, settings.calibration_samples), settings.seed + 1)
    return feeds.slice(0, settings.calibration_samples)


def _save_outputs(path: Path, outputs: Sequence[Array]) -> None:
    import numpy as np

    named: dict[str, Any] = {f"output{index}": array for index, array in enumerate(outputs)}
    np.savez(path, **named)
