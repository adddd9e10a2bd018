"""What GPU samples say about waste and about the GPU a job should rather ask for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.gpu.sampler import Sample

TARGET_BUSY_PERCENT = 70.0
"""Mean utilisation from which a GPU counts as well used."""

IDLE_PERCENT = 5.0
"""Utilisation below which a GPU counts as doing nothing."""

MEMORY_HEADROOM = 1.2
"""A smaller GPU is only named when it holds the measured peak with a fifth to spare."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """How one GPU was used over a stretch of time.

    Attributes:
        gpu: UUID.
        name: model.
        seconds: from the first sample to the last.
        samples: how many.
        busy_percent: mean over the samples that have it; None = not measurable.
        idle_percent: share of those samples in which the GPU did nothing; None = not measurable.
        peak_memory: most bytes in use; None = not measurable.
        memory_total: bytes it has; None = not measurable.
        energy_wh: mean power times the stretch, Wh; None = not measurable.
    """

    gpu: str
    name: str
    seconds: float
    samples: int
    busy_percent: float | None
    idle_percent: float | None
    peak_memory: int | None
    memory_total: int | None
    energy_wh: float | None


def use_by_gpu(samples: Sequence[Sample]) -> tuple[GpuUse, ...]:
    """Return how each GPU was used, in the order in which they first appear."""
    by_gpu: dict[str, list[Sample]] = {}
    for sample in samples:
        by_gpu.setdefault(sample.gpu, []).append(sample)
    return tuple(_use(group) for group in by_gpu.values())


def advice(use: GpuUse, memory_gib_of: Mapping[str, int]) -> tuple[str, ...]:
    """Return sentences about what to change, none when the GPU is well used or nothing could be measured.

    Args:
        use: how the GPU was used.
        memory_gib_of: memory in GiB of the GPU models the site has, to name the smallest that would do.
    """
    sentences = []
    if use.idle_percent is not None and use.idle_percent >= 50:
        sentences.append(f"the GPU did nothing in {use.idle_percent:.0f} % of the time: ask for fewer GPUs")
    elif use.busy_percent is not None and use.busy_percent < TARGET_BUSY_PERCENT:
        sentences.append(
            f"busy {use.busy_percent:.0f} %, target {TARGET_BUSY_PERCENT:.0f} %: "
            "try more data loader workers, a larger batch, or mixed precision"
        )
    smaller = _smallest_that_holds(use, memory_gib_of)
    if smaller is not None and use.peak_memory is not None:
        sentences.append(f"peak memory {use.peak_memory / 1024**3:.1f} GiB would fit {smaller}")
    return tuple(sentences)


def _use(group: Sequence[Sample]) -> GpuUse:
    """Return how one GPU was used; ``group`` holds at least one sample, in order of time."""
    busy = [sample.busy_percent for sample in group if sample.busy_percent is not None]
    memory = [sample.memory_used for sample in group if sample.memory_used is not None]
    power = [sample.power_w for sample in group if sample.power_w is not None]
    seconds = group[-1].time - group[0].time
    return GpuUse(
        gpu=group[0].gpu,
        name=group[0].name,
        seconds=seconds,
        samples=len(group),
        busy_percent=sum(busy) / len(busy) if busy else None,
        idle_percent=100 * sum(share < IDLE_PERCENT for share in busy) / len(busy) if busy else None,
        peak_memory=max(memory, default=None),
        memory_total=group[0].memory_total,
        energy_wh=sum(power) / len(power) * seconds / 3600 if power else None,
    )


def _smallest_that_holds(use: GpuUse, memory_gib_of: Mapping[str, int]) -> str | None:
    """Return the model with the least memory that holds the peak, when it is smaller than the one used."""
    if use.peak_memory is None or use.memory_total is None:
        return None
    needed = use.peak_memory * MEMORY_HEADROOM / 1024**3
    fitting = {model: gib for model, gib in memory_gib_of.items() if gib >= needed}
    if not fitting:
        return None
    model = min(fitting, key=lambda key: (fitting[key], key))
    return model if fitting[model] < use.memory_total / 1024**3 * 0.9 else None
