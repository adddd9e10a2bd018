"""Make any ONNX file fit for quantizers.

Basic optimization, a newer operator set, a simpler graph, known patterns written the expected way. Of real
models only about a third can be quantized as they are; prepared, nearly all can. Each step is kept only if
the model's answers stay where they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.evaluate import closeness
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.rewrite import rewrite
from mlcost_hpc.compress.onnxfile import inspect
from mlcost_hpc.compress.runtime import first_line, load_runtime, open_session

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlcost_hpc.compress.feeds import Feeds

LARGEST_ERROR = 1e-4
"""Relative error of the outputs above which a preparing step is left out."""

LOWEST_OPSET = 17
_SAMPLES = 4

Step = Callable[["Path", "Path"], None]


def prepare(source: Path, feeds: Feeds, folder: Path, threads: int) -> tuple[Path, list[str]]:
    """Return a file that quantizers can take, and what was done or left out and why.

    Args:
        source: the original; stays as it is.
        feeds: samples to compare the outputs on.
        folder: where files may be written.
        threads: threads of the comparison.
    """
    expected = _answers(source, feeds, threads)
    current = source
    remarks = []
    steps: dict[str, Step] = {
        "basic optimization": _optimize,
        f"operator set {LOWEST_OPSET}": _raise_opset,
        "simplification": _simplify,
        "rewriting": _rewrite,
    }
    for number, (name, step) in enumerate(steps.items()):
        target = folder / f"prepared{number}.onnx"
        try:
            with quiet():
                step(current, target)
            error, _ = closeness(expected, _answers(target, feeds, threads))
            problem = "" if error <= LARGEST_ERROR else f"it moves the outputs by {error:.2g} relative"
        except MemoryError:
            raise
        except Exception as failure:  # noqa: BLE001 - a step that fails is left out, whatever it raises
            problem = first_line(failure)
        if problem:
            remarks.append(f"{name} left out: {problem}")
        else:
            current = target
    return current, remarks


def _optimize(source: Path, target: Path) -> None:
    ort = load_runtime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _raise_opset(source: Path, target: Path) -> None:
    import onnx
    from onnx import version_converter

    model = onnx.load(str(source))
    if inspect(source).opset < LOWEST_OPSET:
        model = version_converter.convert_version(model, LOWEST_OPSET)
    onnx.save(model, str(target))


def _simplify(source: Path, target: Path) -> None:
    import onnx
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(str(source))), str(target))


def _rewrite(source: Path, target: Path) -> None:
    import onnx

    onnx.save(rewrite(onnx.load(str(source))), str(target))


def _answers(path: Path, feeds: Feeds, threads: int) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of a few calls, one sample each and, where it can be, several at once."""
    session = open_session(path, threads)
    free = feeds.batched and all(
        not isinstance(port.shape[0], int) for port in session.get_inputs() if port.shape
    )
    found = []
    for start in range(min(_SAMPLES, len(feeds))):
        found += session.run(None, feeds.at(start, 1))
    if free:
        found += session.run(None, feeds.at(0, _SAMPLES - 1))
    return found
