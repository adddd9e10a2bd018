"""How fast a job is on each GPU type, where that is known from, and how sure it is (pure)."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.catalog import Catalog, GpuModel

Source = Literal["history", "calibration", "scaled", "catalogue"]

# Half-widths of the 80 % intervals as factors, by how the figure is known.
_SPREAD = {"history": 1.1, "calibration": 1.15}
_SCALING_SPREAD = 1.15
_CATALOGUE_SPREAD = 2.2
_LEAST_PAIRS = 3
_NEAREST = 8

# Deep learning is limited by arithmetic in some layers and by memory in others. Peak tensor arithmetic alone
# says that a V100 is 28 K80s; measured, it is 3 to 12 of them. With this share of the logarithm the ratios
# that are published for 26 kinds of training on three generations are met within a factor of 2.2 in 80 % of
# cases (benchmarks/choice_regret.py); more arithmetic meets them worse.
_ARITHMETIC_SHARE = 0.2
_UTILISATION = 0.35


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measured speed of a job.

    Attributes:
        gpu_model: catalogue key.
        gpus: how many.
        per_second: units of work per second.
        source: ``history`` (a real run) or ``calibration`` (a short one).
        job: fingerprint of the job it was measured on.
        peak_memory: bytes of one GPU that were used; None = not measured.
    """

    gpu_model: str
    gpus: int
    per_second: float
    source: Source = "history"
    job: str = ""
    peak_memory: int | None = None


class Speed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A speed with an 80 % interval.

    Attributes:
        per_second: units of work per second.
        low, high: the interval.
        source: how it is known.
        basis: in words: ``measured on h100``, ``scaled from v100 by 4 other jobs``.
    """

    per_second: float
    low: float
    high: float
    source: Source
    basis: str


def speed_on(
    model: str,
    gpus: int,
    *,
    own: Sequence[Measurement],
    others: Sequence[Measurement],
    catalog: Catalog,
    scaling: float,
) -> Speed | None:
    """Return a job's speed on some GPUs: its own measurement there, else one scaled from another type.

    Args:
        model: catalogue key of the GPU; empty = not known.
        gpus: how many.
        own: what was measured on this job.
        others: what was measured on other jobs here: they say how much faster one type is than another.
        catalog: peak figures, the last resort for that.
        scaling: what doubling the GPUs yields, over 2.
    """
    here = [item for item in own if item.gpu_model == model]
    if here:
        best = max(
            here, key=lambda item: (item.source == "history", -abs(math.log2(item.gpus / max(1, gpus))))
        )
        return _scaled(
            best, gpus, scaling, 1.0, _SPREAD.get(best.source, 1.1), best.source, f"measured on {model}"
        )
    found = [
        speed for item in own if (speed := _from_other(item, model, gpus, own, others, catalog, scaling))
    ]
    # The surest one: the narrowest interval.
    return min(found, key=lambda speed: speed.high / speed.low, default=None)


def peak_speed(model: GpuModel, gpus: int, scaling: float) -> Speed:
    """Return FLOP per second that trainings reach on a GPU: about a third of its 16-bit peak."""
    one = Measurement(gpu_model=model.key, gpus=1, per_second=model.training_tflops * 1e12 * _UTILISATION)
    return _scaled(one, gpus, scaling, 1.0, _CATALOGUE_SPREAD, "catalogue", f"peak of {model.key}")


def parallel_speedup(gpus: int, scaling: float) -> float:
    """Return how much faster so many GPUs are than one, when each doubling yields ``2 * scaling``."""
    return float((2 * scaling) ** math.log2(gpus)) if gpus > 1 else 1.0


def catalogue_ratio(slow: GpuModel, fast: GpuModel) -> float:
    """Return how much faster one model is than another by peak arithmetic and memory bandwidth."""
    arithmetic = fast.training_tflops / slow.training_tflops
    bandwidth = fast.bandwidth_gbs / slow.bandwidth_gbs
    return float(arithmetic**_ARITHMETIC_SHARE * bandwidth ** (1 - _ARITHMETIC_SHARE))


def _from_other(
    item: Measurement,
    model: str,
    gpus: int,
    own: Sequence[Measurement],
    others: Sequence[Measurement],
    catalog: Catalog,
    scaling: float,
) -> Speed | None:
    ratios = _measured_ratios(item.gpu_model, model, own, others)
    if len(ratios) >= _LEAST_PAIRS:
        spread = max(_SCALING_SPREAD, (max(ratios) / min(ratios)) ** 0.5)
        basis = f"scaled from {item.gpu_model} as {len(ratios)} other jobs were"
        return _scaled(item, gpus, scaling, median(ratios), spread, "scaled", basis)
    source, target = catalog.find(item.gpu_model), catalog.find(model)
    if source is None or target is None:
        return None
    basis = f"scaled from {item.gpu_model} by peak figures"
    return _scaled(item, gpus, scaling, catalogue_ratio(source, target), _CATALOGUE_SPREAD, "scaled", basis)


def _measured_ratios(
    source: str, target: str, own: Sequence[Measurement], others: Sequence[Measurement]
) -> list[float]:
    """Return how much faster than the source the target was for the other jobs that are most like this one.

    Jobs are alike when the GPUs on which both were measured differ by the same factors: a job that gains much
    from one new generation gains much from the next.
    """
    mine = {item.gpu_model: item.per_second for item in own}
    jobs: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for item in others:
        jobs[item.job, item.gpus][item.gpu_model] = item.per_second
    both = [speeds for speeds in jobs.values() if source in speeds and target in speeds]
    if len(mine) > 1:
        both = sorted(both, key=lambda speeds: _unlikeness(mine, speeds, source))[:_NEAREST]
    return [speeds[target] / speeds[source] for speeds in both]


def _unlikeness(mine: Mapping[str, float], theirs: Mapping[str, float], source: str) -> float:
    shared = mine.keys() & theirs.keys() - {source}
    return sum(
        abs(math.log(mine[gpu] / mine[source] / (theirs[gpu] / theirs[source]))) for gpu in shared
    ) / max(1, len(shared))


def _scaled(
    item: Measurement, gpus: int, scaling: float, ratio: float, spread: float, source: Source, basis: str
) -> Speed:
    count = parallel_speedup(gpus, scaling) / parallel_speedup(item.gpus, scaling)
    if item.gpus != gpus:
        spread *= 1.15
        basis += f" with {item.gpus} GPUs"
    value = item.per_second * ratio * count
    return Speed(per_second=value, low=value / spread, high=value * spread, source=source, basis=basis)
