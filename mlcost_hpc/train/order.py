"""The order in which a run sees its data, as a pure function of the step.

A sampler that remembers its position is wrong after a restart whenever a loader has fetched ahead. Here
nothing is remembered: step 417 always means the same samples, whoever asks, however often, with however
many processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlcost_hpc.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


class BatchOrder:
    """Which samples belong to which step: every epoch a new permutation, seeded.

    Args:
        size: number of samples in the data set.
        batch_size: samples per step over all processes together; a last, smaller batch of an epoch is
            left out, as training loaders usually do.
        seed: of the permutations.
        rank: this process.
        world: number of processes; each gets every ``world``-th sample of a batch, so the samples of a
            step do not depend on how many processes share the work.

    Raises:
        UsageError: ``batch_size`` is larger than ``size``, or does not divide by ``world``.
    """

    def __init__(self, size: int, batch_size: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        if not 0 < batch_size <= size:
            msg = f"the batch size must be between 1 and the {size} samples there are, not {batch_size}"
            raise UsageError(msg)
        if batch_size % world:
            msg = f"a batch of {batch_size} cannot be shared evenly by {world} processes"
            raise UsageError(msg)
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.steps_per_epoch = size // batch_size
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def epoch(self, step: int) -> int:
        """Return the epoch (from 0) that ``step`` (from 0) belongs to."""
        return step // self.steps_per_epoch

    def batch(self, step: int) -> torch.Tensor:
        """Return this process's sample numbers for ``step``: int64, shape ``(batch_size / world,)``."""
        epoch = self.epoch(step)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
            self._permutation = torch.randperm(self.size, generator=generator)
            self._epoch = epoch
        start = (step % self.steps_per_epoch) * self.batch_size
        return self._permutation[start : start + self.batch_size][self.rank :: self.world]

    def starting_at(self, step: int) -> Iterator[list[int]]:
        """Yield the batches from ``step`` on without end, as a ``batch_sampler`` for ``DataLoader``."""
        while True:
            yield self.batch(step).tolist()
            step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what must be the same after a restart."""
        return {"size": self.size, "batch_size": self.batch_size, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make sure the restarted run sees the same data in the same order.

        Raises:
            CheckpointError: size, batch size or seed differ from those of the checkpoint.
        """
        for name, now in self.state_dict().items():
            if state.get(name) != now:
                msg = f"the checkpoint was made with data order {name}={state.get(name)}, this run has {now}"
                raise CheckpointError(msg)


def mix_seed(seed: int, epoch: int) -> int:
    """Return one seed for a pair, so that (0, 1) and (1, 0) differ; the odd factor is 2^64 / golden ratio."""
    return (seed * 0x9E37_79B9_7F4A_7C15 + epoch) % 2**63
