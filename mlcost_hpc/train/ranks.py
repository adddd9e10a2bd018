"""The processes of one training: who we are, and decisions that all of them take alike."""

from __future__ import annotations

import os
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from mlcost_hpc.errors import UsageError
from mlcost_hpc.train.groups import Group

if TYPE_CHECKING:
    from collections.abc import Mapping

AGREE_EVERY_S = 0.2
"""How late a process may learn that another one was told to stop, if its steps are short."""

_T = TypeVar("_T")


def env_rank(environment: Mapping[str, str]) -> int:
    """Return this process's number before ``torch.distributed`` is up: torchrun's RANK, srun's PROCID, 0."""
    return int(environment.get("RANK") or environment.get("SLURM_PROCID") or 0)


def choose_gap(world: int, steps_per_second: float | None, steps_until_due: int | None) -> int:
    """Return after how many steps the processes should agree again.

    Agreeing costs a round of messages. With steps of milliseconds it is enough to do it a few times a
    second; with long steps, and always when one process is alone, it is done after each.

    Args:
        world: number of processes.
        steps_per_second: speed; None = not known yet.
        steps_until_due: steps to a save that is due at a certain step.
    """
    if world == 1 or steps_per_second is None:
        return 1
    gap = max(1, int(steps_per_second * AGREE_EVERY_S))
    return gap if steps_until_due is None else min(gap, steps_until_due)


class Ranks:
    """The processes that train together; one process alone is the simple case of it.

    Decisions go over a group of their own on CPUs (gloo), so they neither wait for the GPU nor mix with
    the training's own communication.

    Attributes:
        rank: this process.
        world: number of processes.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._group: Group | None = None
        self.rank, self.world = 0, 1
        if dist.is_available() and dist.is_initialized():
            self.rank, self.world = dist.get_rank(), dist.get_world_size()
            if self.world > 1:
                self._group = Group()
        else:
            started = int(environment.get("WORLD_SIZE") or environment.get("SLURM_STEP_NUM_TASKS") or 1)
            if started > 1:
                msg = (
                    f"{started} processes were started but do not know each other: call "
                    f"torch.distributed.init_process_group() before the training loop, or start one process"
                )
                raise UsageError(msg)

    def twin(self) -> Ranks:
        """Return the same processes with communication of its own. All processes must call it alike."""
        other = copy(self)
        if self._group is not None:
            other._group = Group()
        return other

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def highest(self, *values: int) -> tuple[int, ...]:
        """Return, for each value, the highest that any process gave. All processes must call it alike."""
        if self._group is None:
            return values
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self._group.handle)
        return tuple(tensor.tolist())

    def from_first(self, value: _T) -> _T:
        """Return what the first process gave. All processes must call it alike."""
        if self._group is None:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group.handle)
        return box[0]

    def gather(self, value: _T) -> list[_T]:
        """Return what every process gave, by rank. All processes must call it alike."""
        if self._group is None:
            return [value]
        box: list[Any] = [None] * self.world
        dist.all_gather_object(box, value, group=self._group.handle)
        return box
