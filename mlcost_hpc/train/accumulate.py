"""Gradient accumulation that finds by itself how many samples fit into memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from mlcost_hpc.errors import MlcostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Accumulate:
    """Runs forward and backward over parts of a batch; the gradient is that of the whole batch.

    When a part does not fit into GPU memory, the parts are halved and the step is begun again; the size
    that fits is remembered, over restarts too. So a model that needs a large batch trains on a smaller,
    cheaper GPU.

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
            MlcostError: not even one sample fits, or several processes train together and a part does not
                fit (they must all use the same size: give ``part``).
        """
        size = len(batch[0])
        part = min(self.part or size, size)
        while True:
            self._model.zero_grad(set_to_none=True)
            try:
                loss = self._run(batch, loss_of, backward, part)
            except torch.OutOfMemoryError as error:
                self._refuse_if_final(part, error)
            else:
                self.part = part if part < size or self.part is None else self.part
                return loss
            # Outside of the handler, which would keep the failed step's tensors alive.
            part = (part + 1) // 2
            self.part = part
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _run(
        self,
        batch: Sequence[torch.Tensor],
        loss_of: Callable[..., torch.Tensor],
        backward: Callable[[torch.Tensor], None],
        part: int,
    ) -> torch.Tensor:
        size = len(batch[0])
        total = torch.zeros((), device=batch[0].device)
        for start in range(0, size, part):
            pieces = [tensor[start : start + part] for tensor in batch]
            is_last = start + part >= size
            no_sync = getattr(self._model, "no_sync", None)
            with nullcontext() if is_last or no_sync is None else no_sync():
                loss = loss_of(*pieces) * (len(pieces[0]) / size)
                backward(loss)
            total += loss.detach().float()
        return total

    def _refuse_if_final(self, part: int, error: torch.OutOfMemoryError) -> None:
        if part == 1:
            raise MlcostError("not even one sample at a time fits into GPU memory") from error
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            msg = f"{part} samples at a time do not fit into GPU memory: give Accumulate a smaller part"
            raise MlcostError(msg) from error

    def state_dict(self) -> dict[str, Any]:
        """Return the size that fits."""
        return {"part": self.part}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the size back, so that a restart does not run out of memory again first."""
        self.part = state["part"]
