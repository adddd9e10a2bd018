"""Batches of a data set from any step on, the same ones every time, augmentation included."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from mlcost_hpc.train import rng
from mlcost_hpc.train.order import mix_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlcost_hpc.train.order import BatchOrder


class _WorkerStart:
    """What a loader worker does first: outlive Slurm's signals, then whatever the caller wants."""

    def __init__(self, shield: Callable[[int], None], then: Callable[[int], None] | None) -> None:
        self._shield = shield
        self._then = then

    def __call__(self, worker: int) -> None:
        self._shield(worker)
        if self._then is not None:
            self._then(worker)


class _SeededBatches(Dataset[Any]):
    """Fetches a batch with the random generators set by its step, so augmentation can be repeated."""

    def __init__(self, samples: Any, seed: int) -> None:
        self._samples = samples
        self._seed = seed

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Any]:
        step = keys[0][0]
        is_main = get_worker_info() is None
        kept = rng.capture() if is_main else None  # the training's own numbers are none of our business
        _seed_all(mix_seed(self._seed, step))
        try:
            return [self._samples[index] for _, index in keys]
        finally:
            if kept is not None:
                rng.restore(kept)


class _KeyedBatches:
    """A batch sampler whose keys carry the step along."""

    def __init__(self, order: BatchOrder, start: int) -> None:
        self._order = order
        self._start = start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step, batch in enumerate(self._order.starting_at(self._start), self._start):
            yield [(step, index) for index in batch]


def _seed_all(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)


def load_batches(
    samples: Any,
    order: BatchOrder,
    *,
    start: int,
    shield: Callable[[int], None],
    worker_init_fn: Callable[[int], None] | None = None,
    **options: Any,
) -> Iterator[Any]:
    """Return an endless iterator over batches, beginning with that of step ``start``.

    Random augmentation inside ``samples[index]`` depends on the step only, not on how many workers there
    are or where the run was interrupted.

    Args:
        samples: a map-style data set.
        order: which samples make up a step.
        start: the first step.
        shield: makes a worker outlive the stop signals.
        worker_init_fn: called in each worker besides.
        options: for ``torch.utils.data.DataLoader`` (``num_workers``, ``pin_memory``, ``collate_fn``, ...).
    """
    seed = order.seed * order.world + order.rank
    loader: DataLoader[Any] = DataLoader(
        _SeededBatches(samples, seed),
        batch_sampler=_KeyedBatches(order, start),
        worker_init_fn=_WorkerStart(shield, worker_init_fn),
        **options,
    )
    return iter(loader)
