"""Training, shared by all methods that train: what on, for how long, and back to an ONNX file afterwards.

A short, seeded, single-process loop. A method says what it changes about the network, and what must hold
after each step; the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlcost_hpc.compress.methods.base import (
    NotApplicableError,
    Options,
    Subject,
    Workshop,
    need_module,
    need_training,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

_BATCH = 64
_EXAMPLES = 8

AfterStep = Callable[[], None]
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class TrainingOptions(Options, frozen=True, kw_only=True):
    """How long and how fast to train; methods set their own defaults.

    Attributes:
        epochs: passes over the training data; 0 when a later step trains.
        lr: highest learning rate of a one-cycle schedule.
    """

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 3
    lr: Annotated[float, msgspec.Meta(gt=0)] = 1e-3


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a network learns.

    Attributes:
        inputs: one tensor an input, first axis = samples.
        targets: what the loss compares the first output with, first axis = samples.
        loss: (output, target) -> scalar.
    """

    inputs: list[torch.Tensor]
    targets: torch.Tensor
    loss: Loss


def lesson_of(shop: Workshop) -> Lesson:
    """Return the training data with the loss that suits its labels: classes or numbers.

    Raises:
        NotApplicableError: there is no training data, or it has no labels.
    """
    import torch
    from torch.nn import functional

    feeds = need_training(shop)
    labels = torch.from_numpy(feeds.labels)
    return Lesson(
        inputs=[torch.from_numpy(array.copy()) for array in feeds.arrays.values()],
        targets=labels,
        loss=functional.mse_loss if labels.is_floating_point() else functional.cross_entropy,
    )


def retrained(
    subject: Subject,
    options: TrainingOptions,
    shop: Workshop,
    name: str,
    change: Callable[[nn.Module], AfterStep | None],
) -> Subject:
    """Return a copy of the module that was changed, trained, and written as an ONNX file.

    Args:
        subject: has the module.
        options: how long to train.
        shop: data and scratch space.
        name: of the file.
        change: changes the copy in place; returns what keeps the change after each step, if anything must.

    Raises:
        NotApplicableError: no module, it cannot be copied, or no training data although there is to train.
        ExportError: the module cannot be exported; a module broken by its change shows here.
    """
    module = clone(need_module(subject))
    after_step = change(module)
    if options.epochs:
        fit(module.train(), lesson_of(shop), options, seed=shop.seed, after_step=after_step)
    return exported(module.eval(), shop, name)


def fit(
    module: nn.Module,
    lesson: Lesson,
    options: TrainingOptions,
    *,
    seed: int,
    after_step: AfterStep | None = None,
) -> None:
    """Train a module in place, as it is: what has a training mode must be in it.

    Args:
        module: what to train.
        lesson: what on.
        options: for how long.
        seed: of the order of samples.
        after_step: called after each step, for instance to keep pruned weights at zero.
    """
    import torch

    torch.manual_seed(seed)
    count = len(lesson.targets)
    batches = max(1, -(-count // _BATCH))
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=options.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=options.epochs * batches
    )
    for _ in range(options.epochs):
        order = torch.randperm(count)
        for start in range(0, count, _BATCH):
            rows = order[start : start + _BATCH]
            if len(rows) > 1:  # batch normalization has no variance of one sample
                output = first_output(module(*(item[rows] for item in lesson.inputs)))
                optimizer.zero_grad()
                torch.autograd.backward(lesson.loss(output, lesson.targets[rows]))
                optimizer.step()
                if after_step is not None:
                    after_step()
            schedule.step()


def exported(module: nn.Module, shop: Workshop, name: str) -> Subject:
    """Return a module with its ONNX file, checked at two batch sizes.

    Raises:
        ExportError: the module cannot be exported.
    """
    from mlcost_hpc.compress.torchmodel import export

    target = shop.path(name)
    export(module, shop.calibration.at(0, _EXAMPLES), target)
    return Subject(onnx=target, module=module)


def examples(shop: Workshop, count: int) -> list[torch.Tensor]:
    """Return a few samples, to trace a module with."""
    import torch

    return [torch.from_numpy(array.copy()) for array in shop.calibration.at(0, count).values()]


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
