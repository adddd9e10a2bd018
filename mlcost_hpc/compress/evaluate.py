"""How good a model's answers are: the user's metric, agreement with the original, closeness of outputs."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.records import Score
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import onnxruntime as ort

    from mlcost_hpc.compress.feeds import Feeds

    Array = np.ndarray[Any, Any]

EVALUATION_BATCH = 32


class MetricError(CompressError):
    """The user's metric raised an error or gave no number."""


def run_all(session: ort.InferenceSession, feeds: Feeds, batch: int) -> list[Array]:
    """Return the outputs over all samples, one array an output, samples along the first axis.

    Outputs whose shape changes from call to call (detections) are flattened one after the other.
    """
    import numpy as np

    calls = [session.run(None, inputs) for inputs in feeds.calls(batch)]
    outputs = []
    for parts in zip(*calls, strict=True):
        arrays = [np.asarray(part) for part in parts]
        if not feeds.batched and len({array.shape for array in arrays}) == 1:
            stacked = np.stack(arrays)
            outputs.append(stacked[:, 0] if stacked.ndim > 1 and stacked.shape[1] == 1 else stacked)
            continue
        same = len({array.shape[1:] for array in arrays}) == 1 and arrays[0].ndim > 0
        outputs.append(np.concatenate(arrays if same else [array.ravel() for array in arrays]))
    return outputs


def score(before: Sequence[Array], after: Sequence[Array], feeds: Feeds, metric: str) -> Score:
    """Return how the candidate's outputs compare with the original's and with the labels.

    Raises:
        MetricError: the user's metric failed.
        CompressError: the outputs have other shapes than the original's, or labels are missing.
    """
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        if one.shape != other.shape and one.size != other.size and one.ndim == other.ndim > 1:
            raise CompressError(f"output {index} has shape {other.shape}, the original gives {one.shape}")
    relative, largest = closeness(before, after)
    name, compute = _metric(metric, feeds, before)
    return Score(
        metric=name,
        before=None if compute is None else compute(before),
        after=None if compute is None else compute(after),
        agreement=agreement(before, after, len(feeds)),
        relative_error=finite(relative),
        largest_difference=finite(largest),
        samples=len(feeds),
        data=feeds.name,
    )


def finite(value: float) -> float | None:
    """Return a number, None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def closeness(before: Sequence[Array], after: Sequence[Array]) -> tuple[float, float]:
    """Return relative error (norm of the difference over norm of the original) and largest difference.

    Infinite where the outputs have different sizes: there is no distance between them.
    """
    import numpy as np

    difference = total = largest = 0.0
    for one, other in zip(before, after, strict=True):
        if one.dtype.kind not in "fiub":
            continue
        if one.size != other.size:
            return float("inf"), float("inf")
        first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        gap = second - first
        difference += float(gap @ gap)
        total += float(first @ first)
        largest = max(largest, float(np.abs(gap).max(initial=0.0)) if np.isfinite(gap).all() else np.inf)
    if not np.isfinite(difference):
        return float("inf"), float("inf")
    return float(np.sqrt(difference / total)) if total else float(bool(difference)), largest


def agreement(before: Sequence[Array], after: Sequence[Array], samples: int) -> float | None:
    """Return the part of the samples whose class is the same; None when there are no class scores."""
    one, other = _classes(before[0], samples), _classes(after[0], samples)
    return None if one is None or other is None else float((one == other).mean())


def accuracy(outputs: Sequence[Array], labels: Array) -> float:
    """Return the part of the samples whose class is right.

    Raises:
        CompressError: the first output is no score over classes.
    """
    classes = _classes(outputs[0], len(labels))
    if classes is None:
        raise CompressError(
            f"accuracy needs class scores (samples, classes) as first output, not {outputs[0].shape}"
        )
    return float((classes == labels.reshape(-1)).mean())


def load_function(name: str) -> Callable[..., Any]:
    """Return the user's function ``file.py:function`` or ``package.module:function``.

    Raises:
        CompressError: it cannot be imported.
    """
    place, _, function = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        found = getattr(module, function)
    except Exception as error:
        raise CompressError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise CompressError(f"{name} is no function")
    return found  # type: ignore[no-any-return]


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pickling look a module up by its name while it is being loaded.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _metric(
    metric: str, feeds: Feeds, outputs: Sequence[Array]
) -> tuple[str, Callable[[Sequence[Array]], float] | None]:
    """Return the metric's name and its function; None where closeness to the original is all there is."""
    labels = feeds.labels
    if metric == "auto":
        has_classes = labels is not None and _classes(outputs[0], len(feeds)) is not None
        metric = "accuracy" if has_classes else "agreement"
    if metric == "accuracy":
        if labels is None:
            raise CompressError(f"accuracy needs labels: {feeds.name} has no array named labels")
        return metric, lambda result: accuracy(result, labels)
    if metric in ("agreement", "closeness"):
        return metric, None
    return metric.rpartition(":")[2], _own_metric(metric, feeds)


def _own_metric(metric: str, feeds: Feeds) -> Callable[[Sequence[Array]], float]:
    function = load_function(metric)
    data = {**feeds.arrays, **feeds.extra} | ({} if feeds.labels is None else {"labels": feeds.labels})

    def compute(outputs: Sequence[Array]) -> float:
        try:
            return float(function(list(outputs), data))
        except Exception as error:
            raise MetricError(f"the metric {metric} failed: {type(error).__name__}: {error}") from error

    return compute


def _classes(output: Array, samples: int) -> Array | None:
    if output.ndim != 2 or output.shape[0] != samples or output.shape[1] < 2 or output.dtype.kind != "f":
        return None
    classes: Array = output.argmax(axis=1)
    return classes
