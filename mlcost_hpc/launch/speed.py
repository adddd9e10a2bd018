"""How fast a job is on each GPU type, where that is known from, and how sure it is (pure)."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.launch.likeness import NOISE, Gain, Seen, expected_gain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlcost_hpc.catalog import Catalog, GpuModel

Source = Literal["history", "calibration", "scaled", "catalogue"]

Q90 = 1.2816
"""Standard deviations from the middle to the end of an interval that holds 80 %."""

# Half-widths of the 80 % intervals as factors, by how the figure is known.
_SPREAD = {"history": 1.1, "calibration": math.exp(Q90 * NOISE)}
_CATALOGUE_SPREAD = 2.2

# Deep learning is limited by arithmetic in some layers and by memory in others. Peak tensor arithmetic alone
# says that a V100 is 28 K80s; measured, it is 3 to 12 of them. With this share of the logarithm the ratios
# that are published for 26 kinds of training on three generations are met within a factor of 2.2 in 80 % of
# cases (benchmarks/choice_regret.py, which says what other shares would do).
ARITHMETIC_SHARE = 0.2
_UTILISATION = 0.35


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measured speed of a job.

    Attributes:
        gpu_model: catalogue key.
        gpus: how many.
        per_second: units of work per second.
        source: ``history`` (a real run) or ``calibration`` (a short one).
        job: fingerprint of the job it was measured on.
        program: fingerprint of what it runs, arguments left out; empty = not known.
        peak_memory: most bytes that one GPU had to hold; None = not measured.
    """

    gpu_model: str
    gpus: int
    per_second: float
    source: Source = "history"
    job: str = ""
    program: str = ""
    peak_memory: int | None = None


class Speed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A speed with an 80 % interval.

    Attributes:
        per_second: units of work per second.
        low, high: the interval.
        source: how it is known.
        basis: in words: ``measured on h100``, ``scaled from v100 by peak figures and 4 other programs``.
    """

    per_second: float
    low: float
    high: float
    source: Source
    basis: str

    @property
    def sigma(self) -> float:
        """Standard deviation of the speed's logarithm, which is taken as normal."""
        return math.log(self.high / self.low) / 2 / Q90


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
    return float(arithmetic**ARITHMETIC_SHARE * bandwidth ** (1 - ARITHMETIC_SHARE))


def _from_other(
    item: Measurement,
    model: str,
    gpus: int,
    own: Sequence[Measurement],
    others: Sequence[Measurement],
    catalog: Catalog,
    scaling: float,
) -> Speed | None:
    source, target = catalog.find(item.gpu_model), catalog.find(model)
    peak = None
    if source is not None and target is not None:
        sigma = math.log(_CATALOGUE_SPREAD) / Q90
        peak = Gain(math.log(catalogue_ratio(source, target)), sigma**2)
    mine = Seen(item.program, {known.gpu_model: known.per_second for known in own if known.gpus == item.gpus})
    gain = expected_gain(item.gpu_model, model, mine, list(_seen(others, item.gpus)), peak)
    if gain is None:
        return None
    spread = math.exp(Q90 * math.sqrt(gain.variance + NOISE**2))
    basis = f"scaled from {item.gpu_model} by {_grounds(gain, peak)}"
    return _scaled(item, gpus, scaling, math.exp(gain.mean), spread, "scaled", basis)


def _seen(others: Sequence[Measurement], gpus: int) -> Iterator[Seen]:
    """Yield what was measured of other jobs on so many GPUs."""
    speeds: dict[str, dict[str, float]] = defaultdict(dict)
    programs: dict[str, str] = {}
    for item in others:
        if item.gpus == gpus:
            speeds[item.job][item.gpu_model] = item.per_second
            programs[item.job] = item.program
    return (Seen(programs[job], on) for job, on in speeds.items())


def _grounds(gain: Gain, peak: Gain | None) -> str:
    parts = [
        _counted(gain.variants, "variant", "variants", "of this program"),
        "" if peak is None else "peak figures",
        _counted(gain.programs, "other program", "other programs"),
    ]
    return " and ".join(filter(None, parts))


def _counted(count: int, one: str, many: str, of: str = "") -> str:
    return f"{count} {one if count == 1 else many} {of}".rstrip() if count else ""


def _scaled(
    item: Measurement, gpus: int, scaling: float, ratio: float, spread: float, source: Source, basis: str
) -> Speed:
    count = parallel_speedup(gpus, scaling) / parallel_speedup(item.gpus, scaling)
    if item.gpus != gpus:
        spread *= 1.15
        basis += f" with {item.gpus} GPUs"
    value = item.per_second * ratio * count
    return Speed(per_second=value, low=value / spread, high=value * spread, source=source, basis=basis)
