"""Process groups on CPUs that are left in order when the program ends.

Threads of gloo that still run while Python takes itself apart can abort the process (SIGABRT, "terminate
called without an active exception"): a training that ended well then counts as failed.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import Any

import torch.distributed as dist


def new_group() -> Any:
    """Return a group of all processes, on CPUs; all processes must call it alike."""
    group = dist.new_group(backend="gloo")
    leave_at_exit(group)
    return group


def leave_at_exit(group: Any = None) -> None:
    """Leave a group when the program ends, unless it was left before; None = all groups."""
    atexit.register(_leave, group)


def _leave(group: Any) -> None:
    if dist.is_initialized():
        with suppress(ValueError):  # it was left alone before
            dist.destroy_process_group(group)
