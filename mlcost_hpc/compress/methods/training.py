"""Fine-tuning, shared by all methods that train: a short, seeded, single-process loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.methods.base import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from mlcost_hpc.compress.feeds import Feeds

_BATCH = 64


def tensors(feeds: Feeds) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return inputs and labels as tensors."""
    import torch

    inputs = [torch.from_numpy(array.copy()) for array in feeds.arrays.values()]
    return inputs, torch.from_numpy(feeds.labels)


def label_loss(labels: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss that suits the labels: cross entropy for classes, squared error for numbers."""
    from torch.nn import functional

    return functional.mse_loss if labels.is_floating_point() else functional.cross_entropy


def fit(
    module: nn.Module,
    inputs: list[torch.Tensor],
    targets: torch.Tensor,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    epochs: int,
    lr: float,
    seed: int,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Train a module in place; it is in evaluation mode afterwards.

    Args:
        module: what to train.
        inputs: one tensor an input, first axis = samples.
        targets: what ``loss`` compares the first output with, first axis = samples.
        loss: (output, target) -> scalar.
        epochs: passes over the samples; 0 = none.
        lr: highest learning rate of a one-cycle schedule.
        seed: of the order of samples.
        after_step: called after each step, for instance to keep pruned weights at zero.
    """
    if epochs:
        module.train()
        fit_prepared(module, inputs, targets, loss, epochs=epochs, lr=lr, seed=seed, after_step=after_step)
    module.eval()


def fit_prepared(
    module: nn.Module,
    inputs: list[torch.Tensor],
    targets: torch.Tensor,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    epochs: int,
    lr: float,
    seed: int,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Train a module that is in training mode already, in place; arguments as for :func:`fit`."""
    import torch

    torch.manual_seed(seed)
    count = len(targets)
    batches = max(1, -(-count // _BATCH))
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    for _ in range(epochs):
        order = torch.randperm(count)
        for start in range(0, count, _BATCH):
            rows = order[start : start + _BATCH]
            if len(rows) > 1:  # batch normalization has no variance of one sample
                value = loss(first_output(module(*(item[rows] for item in inputs))), targets[rows])
                optimizer.zero_grad()
                torch.autograd.backward(value)
                optimizer.step()
                if after_step is not None:
                    after_step()
            schedule.step()


def first_output(result: Any) -> torch.Tensor:
    """Return the first output of a module."""
    first: torch.Tensor = result[0] if isinstance(result, tuple | list) else result
    return first


def clone(module: nn.Module) -> nn.Module:
    """Return a copy that can be changed.

    Raises:
        NotApplicableError: the module cannot be copied.
    """
    import copy

    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise NotApplicableError(f"the module cannot be copied: {type(error).__name__}: {error}") from error
