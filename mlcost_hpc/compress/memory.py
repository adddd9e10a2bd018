"""How much memory a piece of work needs at its peak, as the kernel counts it."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Peak:
    """Filled when the work is done.

    Attributes:
        growth: bytes by which the peak of resident memory exceeded what was resident before; None where the
            kernel does not let us measure it.
    """

    growth: int | None = None


@contextmanager
def peak_growth() -> Iterator[Peak]:
    """Measure the growth of resident memory at its peak while the body runs."""
    peak = Peak()
    _return_free_memory()
    try:
        before = _field("VmRSS")
        _RESET.write_text("5", encoding="ascii")  # 5 sets the high-water mark back
    except OSError:
        yield peak
        return
    yield peak
    peak.growth = max(0, _field("VmHWM") - before)


def _return_free_memory() -> None:
    """Give memory that was freed but kept back to the kernel: used again, it would not show as growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, other C libraries may not
    if trim is not None:
        trim(0)


def _field(name: str) -> int:
    """Return a field of the process's status, bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
