"""int8 weights and activations with ranges found by calibration: the right choice for convolutions.

Unsigned activations and signed weights, one scale a channel, written as Q/DQ nodes: the tool's own defaults
(both signed) are slower than fp32 on x86 processors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlcost_hpc.compress.methods.base import Method, NotApplicableError, Options, Rung, Subject, Workshop
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.ready import note_processor, ready
from mlcost_hpc.compress.methods.sensitivity import most_sensitive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlcost_hpc.compress.feeds import Feeds
    from mlcost_hpc.compress.records import Status

HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Where the time goes; quantizing more saves little and can ruin a model."""

_WITH_TABLES = (*HEAVY, "Gather")
"""And where the rest of the bytes are: tables of embeddings."""

Calibration = Literal["minmax", "percentile", "entropy"]


class Int8StaticOptions(Options, frozen=True, kw_only=True):
    """Options.

    Attributes:
        ops: operator types to quantize; empty = all the tool knows.
        per_channel: one scale a channel for weights.
        calibration: how ranges are found.
        exclude_worst: part of the layers, the most sensitive ones, that stay in fp32.
    """

    ops: tuple[str, ...] = ()
    per_channel: bool = True
    calibration: Calibration = "minmax"
    exclude_worst: float = 0.0


def rungs(subject: Subject, options: Int8StaticOptions, shop: Workshop) -> Sequence[Rung]:  # noqa: ARG001
    """Return from all operators down to the heavy ones, without sensitive layers, with other ranges."""
    change = msgspec.structs.replace
    heavy = change(options, ops=_WITH_TABLES)
    fewer: frozenset[Status] = frozenset({"failed", "wrong", "slower", "no-op"})
    coarser: frozenset[Status] = frozenset({"failed", "slower", "no-op"})
    finer: frozenset[Status] = frozenset({"wrong"})
    return [
        Rung(name="all operators, a scale a channel", options=options),
        Rung(name="heavy operators", options=heavy, mends=fewer),
        Rung(
            name="heavy operators, a scale a tensor", options=change(heavy, per_channel=False), mends=coarser
        ),
        Rung(
            name="heavy operators, worst tenth in fp32",
            options=change(heavy, exclude_worst=0.1),
            mends=finer,
            refines=True,
        ),
        Rung(
            name="heavy operators, worst third in fp32",
            options=change(heavy, exclude_worst=0.34),
            mends=finer,
            refines=True,
        ),
        # Last, since finding percentiles takes many times as long as finding extremes.
        Rung(
            name="heavy operators, percentile ranges",
            options=change(heavy, calibration="percentile"),
            mends=finer,
            refines=True,
        ),
    ]


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Calibrate and quantize; see :class:`Int8StaticOptions`.

    Raises:
        NotApplicableError: the model is quantized already or has no heavy operator with constant weights.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    options: Int8StaticOptions = rung.options
    source, facts = ready(subject.onnx, shop)
    if not any(facts.weights.get(op) for op in HEAVY):
        raise NotApplicableError(f"no layer with constant weights among {', '.join(HEAVY)}")
    exclude = most_sensitive(source, shop, options.exclude_worst) if options.exclude_worst else []
    note_processor(shop)
    target = shop.path("int8-static")
    reader = Reader(shop.calibration)
    with quiet():
        quantize_static(
            source,
            target,
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=options.per_channel,
            reduce_range=shop.reduce_range,
            op_types_to_quantize=list(options.ops) or None,
            nodes_to_exclude=exclude,
            calibrate_method=_method(options.calibration),
            extra_options={"CalibStridedMinMax": reader.stride},
        )
    return Subject(onnx=target)


_STRIDE = 8
"""Samples whose intermediate results are held at once: calibration must not fill the memory.

The tool's other way to the same end, ``CalibMaxIntermediateOutputs``, forgets all but the last samples.
"""


class Reader:
    """Calibration samples one by one, as the tool asks for them: in ranges of :attr:`stride`.

    Args:
        feeds: the samples; the tool takes whole ranges only, so up to ``stride - 1`` at the end are not used.

    Attributes:
        stride: samples in a range.
    """

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self.stride = min(_STRIDE, len(feeds))
        self._calls: Iterator[dict[str, Any]] = iter(())

    def __len__(self) -> int:
        return len(self._feeds) - len(self._feeds) % self.stride

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give the samples of this range next."""
        self._calls = self._feeds.slice(start_index, end_index).calls(1)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample of the range, None after the last."""
        return next(self._calls, None)


def _method(name: Calibration) -> Any:
    from onnxruntime.quantization import CalibrationMethod

    return {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[name]


METHOD = Method(name="int8-static", options=Int8StaticOptions, rungs=rungs, apply=apply)
