"""Training side: checkpoints, signals, the resumable loop.

The names below load torch only when they are used, so that the command line can read attempts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcost_hpc.train.checkpoint import Checkpointer as Checkpointer
    from mlcost_hpc.train.distributed import join as join
    from mlcost_hpc.train.ending import Stopped as Stopped
    from mlcost_hpc.train.loop import Run as Run
    from mlcost_hpc.train.order import BatchOrder as BatchOrder
    from mlcost_hpc.train.sharded import Sharded as Sharded

_HOMES = {
    "BatchOrder": "order",
    "Checkpointer": "checkpoint",
    "Run": "loop",
    "Sharded": "sharded",
    "Stopped": "ending",
    "join": "distributed",
}

__all__ = ["BatchOrder", "Checkpointer", "Run", "Sharded", "Stopped", "join"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
