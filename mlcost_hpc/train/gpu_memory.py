"""How much memory of its GPUs this process has needed."""

from __future__ import annotations

import torch


def peak_gpu_memory() -> int | None:
    """Return the most bytes that tensors took at once on one of this process's GPUs.

    None on a machine without GPUs, or before the first of them is used. What the driver and the libraries
    take comes on top; whoever fits a job into a GPU by this adds it.
    """
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return max(torch.cuda.max_memory_allocated(number) for number in range(torch.cuda.device_count())) or None
