"""Process groups on CPUs that are left in order when the program ends.

Threads of gloo that still run while Python takes itself apart can abort the process (SIGABRT, "terminate
called without an active exception"): a training that ended well then counts as failed. They end with the last
reference to their group, so nobody but :class:`Group` keeps one.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import Any

import torch.distributed as dist


class Group:
    """A group of all processes, on CPUs; all processes must make it alike.

    Attributes:
        handle: the group as ``torch.distributed`` takes it; None after the program's end.
    """

    def __init__(self) -> None:
        self.handle: Any = dist.new_group(backend="gloo")
        atexit.register(self._leave)

    def _leave(self) -> None:
        if dist.is_initialized():
            with suppress(ValueError):  # the program itself left it before
                dist.destroy_process_group(self.handle)
        self.handle = None


def leave_all_at_exit() -> None:
    """Leave the default group, and with it all others, when the program ends; unless it does so itself."""
    atexit.register(_leave_all)


def _leave_all() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
