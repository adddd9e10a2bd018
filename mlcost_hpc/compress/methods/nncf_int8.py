"""int8 by NNCF, for models that OpenVINO will serve: an extra, ``pip install mlcost-hpc[openvino]``.

The file is ONNX with the quantizers where OpenVINO wants them: the verdict is that of ONNX Runtime, as
everywhere, and the row says besides how fast OpenVINO is with the same file.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress import measure
from mlcost_hpc.compress.methods.base import Method, NotApplicableError, Options, Rung, Subject, Workshop
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.ready import ready
from mlcost_hpc.compress.runtime import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlcost_hpc.compress.onnxfile import OnnxFacts

_SECONDS = 1.0
_TRANSFORMER_SHARE = 2
_CONVOLUTIONS = ("Conv", "ConvTranspose")


class NncfOptions(Options, frozen=True, kw_only=True):
    """Options.

    Attributes:
        batch: samples per call when OpenVINO is timed.
    """

    batch: int = 8


def rungs(subject: Subject, options: NncfOptions, shop: Workshop) -> Sequence[Rung]:  # noqa: ARG001
    """Return the one setting.

    Raises:
        NotApplicableError: NNCF or OpenVINO is not installed.
    """
    if find_spec("nncf") is None or find_spec("openvino") is None:
        raise NotApplicableError("needs NNCF and OpenVINO: pip install mlcost-hpc[openvino]")
    return (Rung(name="as asked", options=options),)


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Quantize, and note how fast OpenVINO is with the file.

    Raises:
        NotApplicableError: the model is quantized already.
    """
    import onnx

    nncf = _load_nncf()
    source, facts = ready(subject.onnx, shop)
    target = shop.path("nncf")
    overflow = nncf.OverflowFix.ENABLE if shop.reduce_range else nncf.OverflowFix.DISABLE
    samples = [shop.calibration.at(index, 1) for index in range(len(shop.calibration))]
    with quiet():
        model = nncf.quantize(
            onnx.load(str(source)),
            nncf.Dataset(samples),
            subset_size=len(samples),
            model_type=nncf.ModelType.TRANSFORMER if _is_transformer(facts) else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
        )
    onnx.save(model, str(target))
    shop.notes.append(_speed_note(subject.onnx, target, facts, rung.options.batch, shop))
    return Subject(onnx=target)


def _load_nncf() -> Any:
    """Return NNCF, imported without the module that sends its usage reports."""
    os.environ["NNCF_CI"] = "1"  # what it sends nothing from, either
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it fails
    import nncf

    nncf.set_log_level("ERROR")
    return nncf


def _is_transformer(facts: OnnxFacts) -> bool:
    convolutions = sum(facts.weights.get(op, 0) for op in _CONVOLUTIONS)
    products = facts.weights.get("MatMul", 0) + facts.weights.get("Gemm", 0)
    return facts.ops.get("Softmax", 0) > 1 and products > _TRANSFORMER_SHARE * convolutions


def _speed_note(original: Path, quantized: Path, facts: OnnxFacts, batch: int, shop: Workshop) -> str:
    """Return how fast OpenVINO is with the quantized file, next to ONNX Runtime with the original."""
    count = batch if facts.any_batch and shop.calibration.batched else 1
    inputs = shop.calibration.at(0, count)

    def open_pair() -> measure.Pair:
        session = open_session(original, shop.threads)
        served = _open_in_openvino(quantized, inputs, shop.threads)
        return lambda: session.run(None, inputs), lambda: served(inputs)

    # By the wall clock: OpenVINO works in threads of its own.
    found = measure.compare(open_pair, batch=count, seconds=_SECONDS)
    return (
        f"served by OpenVINO: x{found.speedup:.2f} the speed of the original in ONNX Runtime, batch {count}"
    )


def _open_in_openvino(path: Path, inputs: dict[str, Any], threads: int) -> Callable[[dict[str, Any]], object]:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    return core.compile_model(model, "CPU", hints)  # type: ignore[no-any-return]


METHOD = Method(name="nncf", options=NncfOptions, rungs=rungs, apply=apply)
