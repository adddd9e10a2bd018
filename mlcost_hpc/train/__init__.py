"""Training side: checkpoints, signals, the resumable loop, and small helpers that save money.

The names below load torch only when they are used, so that the command line can read attempts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcost_hpc.train.accumulate import Accumulate as Accumulate
    from mlcost_hpc.train.checkpoint import Checkpointer as Checkpointer
    from mlcost_hpc.train.cost import BudgetGuard as BudgetGuard
    from mlcost_hpc.train.distill import distillation_loss as distillation_loss
    from mlcost_hpc.train.distributed import join as join
    from mlcost_hpc.train.early import EarlyStopping as EarlyStopping
    from mlcost_hpc.train.ending import Stopped as Stopped
    from mlcost_hpc.train.loop import Run as Run
    from mlcost_hpc.train.order import BatchOrder as BatchOrder
    from mlcost_hpc.train.precision import MixedPrecision as MixedPrecision
    from mlcost_hpc.train.resize import ProgressiveSize as ProgressiveSize
    from mlcost_hpc.train.sharded import Sharded as Sharded
    from mlcost_hpc.train.staging import stage as stage

_HOMES = {
    "Accumulate": "accumulate",
    "BatchOrder": "order",
    "BudgetGuard": "cost",
    "Checkpointer": "checkpoint",
    "EarlyStopping": "early",
    "MixedPrecision": "precision",
    "ProgressiveSize": "resize",
    "Run": "loop",
    "Sharded": "sharded",
    "Stopped": "ending",
    "distillation_loss": "distill",
    "join": "distributed",
    "stage": "staging",
}

__all__ = [
    "Accumulate",
    "BatchOrder",
    "BudgetGuard",
    "Checkpointer",
    "EarlyStopping",
    "MixedPrecision",
    "ProgressiveSize",
    "Run",
    "Sharded",
    "Stopped",
    "distillation_loss",
    "join",
    "stage",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
