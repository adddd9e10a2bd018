"""GPU counters of this node, read through NVML.

A counter that the driver does not offer (utilisation of a MIG slice, power of some boards) is None, never 0:
no data is not an idle GPU.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.errors import GpuError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of one GPU at one moment.

    Attributes:
        time: UTC seconds.
        gpu: UUID of the GPU.
        name: the maker's name of the model.
        busy_percent: share of the last sampling period in which a kernel ran; None = not measurable.
        memory_used: bytes in use; None = not measurable.
        memory_total: bytes it has; None = not measurable.
        power_w: board power, W; None = not measurable.
    """

    time: float
    gpu: str
    name: str
    busy_percent: float | None
    memory_used: int | None
    memory_total: int | None
    power_w: float | None


@contextmanager
def open_gpus() -> Iterator[Callable[[float], tuple[Sample, ...]]]:
    """Open the driver; gives a function that returns one sample a GPU for the time (UTC seconds) it is told.

    Raises:
        GpuError: when there is no NVIDIA driver on this node.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise GpuError(f"GPU counters cannot be read here: {error}") from None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        yield lambda time: tuple(_sample(pynvml, handle, time) for handle in handles)
    except pynvml.NVMLError as error:
        raise GpuError(f"GPU counters cannot be read here: {error}") from None
    finally:
        pynvml.nvmlShutdown()


def _sample(nvml: Any, handle: Any, time: float) -> Sample:
    """Return the counters of one GPU."""
    memory = _known(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    power = _known(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    busy = _known(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    return Sample(
        time=time,
        gpu=nvml.nvmlDeviceGetUUID(handle),
        name=nvml.nvmlDeviceGetName(handle),
        busy_percent=None if busy is None else float(busy),
        memory_used=None if memory is None else int(memory.used),
        memory_total=None if memory is None else int(memory.total),
        power_w=None if power is None else power / 1000,
    )


def _known(nvml: Any, ask: Callable[[], Any]) -> Any | None:
    """Return an answer of the driver, None when this GPU does not offer it."""
    try:
        return ask()
    except nvml.NVMLError_NotSupported:
        return None
