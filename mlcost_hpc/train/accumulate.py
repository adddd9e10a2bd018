"""Gradient accumulation that finds by itself how many samples fit into memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parallel import DistributedDataParallel

from mlcost_hpc.errors import MlcostError
from mlcost_hpc.train.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Accumulate:
    """Runs forward and backward over parts of a batch; the gradient is that of the whole batch.

    When a part does not fit into GPU memory, the parts are halved and the step is begun again; the size
    that fits is remembered, over restarts too. So a model that needs a large batch trains on a smaller,
    cheaper GPU.

    Processes that train together under ``DistributedDataParallel`` take the size that fits in all of them.
    They find it in a rehearsal of the first step, in which no gradients are exchanged: a process that ran
    out of memory in an exchange would leave the others waiting for ever. A rehearsal draws random numbers
    and moves running averages (batch normalisation) as a step does.

    ::

        accumulate = Accumulate(model)
        run.state(accumulate=accumulate)
        loss = accumulate((images, labels), lambda x, y: cross_entropy(model(x), y))
        optimizer.step()

    Args:
        model: whose gradients are computed; ``DistributedDataParallel`` sends them once a step only.
        part: samples at a time to begin with; None = the whole batch.

    Attributes:
        part: samples at a time that fit, as far as is known.
    """

    def __init__(self, model: torch.nn.Module, part: int | None = None) -> None:
        self._model = model
        self._ranks = Ranks() if isinstance(model, DistributedDataParallel) else None
        self._fits: int | None = None
        self.part = part

    def __call__(
        self,
        batch: Sequence[torch.Tensor],
        loss_of: Callable[..., torch.Tensor],
        backward: Callable[[torch.Tensor], None] = torch.Tensor.backward,
    ) -> torch.Tensor:
        """Return the mean loss over the batch, gradients set afresh.

        Args:
            batch: tensors whose first dimension counts samples.
            loss_of: returns the mean loss over the samples it is given.
            backward: computes gradients, e.g. ``MixedPrecision.backward``.

        Raises:
            MlcostError: not even one sample fits; or several processes train together and a part that did
                fit no longer does, or the model is sharded (give ``part`` then).
        """
        size = len(batch[0])
        part = min(self.part or size, size)
        while True:
            is_rehearsal = self._must_rehearse(part)
            found = self._try(batch, loss_of, backward, part, is_rehearsal=is_rehearsal)
            if is_rehearsal and self._all_fit(found):
                self._fits = part
                continue
            if not is_rehearsal:
                if isinstance(found, torch.Tensor):
                    self.part = part if part < size or self.part is None else self.part
                    return found
                self._refuse_if_together(part, found)
            if part == 1:
                raise MlcostError("not even one sample at a time fits into GPU memory")
            # Outside of the handler, which would keep the failed step's tensors alive.
            part = (part + 1) // 2
            self.part = part
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _must_rehearse(self, part: int) -> bool:
        is_new = self._fits is None or part > self._fits
        return is_new and self._ranks is not None and self._ranks.world > 1

    def _all_fit(self, found: torch.Tensor | str) -> bool:
        is_short = isinstance(found, str)
        if self._ranks is not None:
            is_short = self._ranks.highest(int(is_short)) == (1,)
        return not is_short

    def _try(
        self,
        batch: Sequence[torch.Tensor],
        loss_of: Callable[..., torch.Tensor],
        backward: Callable[[torch.Tensor], None],
        part: int,
        *,
        is_rehearsal: bool,
    ) -> torch.Tensor | str:
        """Return the mean loss, or, when memory is short, the allocator's words."""
        self._model.zero_grad(set_to_none=True)
        try:
            return self._run(batch, loss_of, backward, part, is_rehearsal=is_rehearsal)
        except torch.OutOfMemoryError as error:
            return str(error)

    def _run(
        self,
        batch: Sequence[torch.Tensor],
        loss_of: Callable[..., torch.Tensor],
        backward: Callable[[torch.Tensor], None],
        part: int,
        *,
        is_rehearsal: bool,
    ) -> torch.Tensor:
        size = len(batch[0])
        total = torch.zeros((), device=batch[0].device)
        for start in range(0, size, part):
            pieces = [tensor[start : start + part] for tensor in batch]
            is_exchanged = start + part >= size and not is_rehearsal
            no_sync = getattr(self._model, "no_sync", None)
            with nullcontext() if is_exchanged or no_sync is None else no_sync():
                loss = loss_of(*pieces) * (len(pieces[0]) / size)
                backward(loss)
            total += loss.detach().float()
        return total

    def _refuse_if_together(self, part: int, words: str) -> None:
        dist = torch.distributed
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            msg = (
                f"{part} samples at a time do not fit in GPU memory ({words}): give Accumulate a smaller part"
            )
            raise MlcostError(msg)

    def state_dict(self) -> dict[str, Any]:
        """Return the size that fits."""
        return {"part": self.part, "fits": self._fits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the size back, so that a restart does not run out of memory again first."""
        self.part, self._fits = state["part"], state["fits"]
