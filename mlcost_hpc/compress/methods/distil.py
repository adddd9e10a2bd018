"""Distillation: a smaller network learns the original's answers, which are computed once and kept.

Distillation often gives nothing over plain training; so the same network is also trained without the teacher
(the control), with the same number of steps, and both results stand in the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from mlcost_hpc.compress.evaluate import load_function
from mlcost_hpc.compress.methods.base import (
    Method,
    NotApplicableError,
    Rung,
    Subject,
    Workshop,
    need_module,
    only_rung,
)
from mlcost_hpc.compress.methods.training import (
    Lesson,
    Loss,
    TrainingOptions,
    clone,
    exported,
    fit,
    lesson_of,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


class DistilOptions(TrainingOptions, frozen=True, kw_only=True):
    """Options.

    Attributes:
        student: function that builds the small network (an absolute ``file.py:function`` or
            ``package.module:function``); else the model as the steps before left it.
        temperature: softens both sides' scores.
        weight: part of the loss that is the teacher's; the rest is the labels'.
        control: also train without the teacher, and report both.
    """

    student: str | None = None
    epochs: Annotated[int, msgspec.Meta(gt=0)] = 10
    lr: Annotated[float, msgspec.Meta(gt=0)] = 2e-3
    temperature: float = 4.0
    weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    control: bool = True


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Train the student with and, as a control, without the teacher; keep the one with the teacher.

    Raises:
        NotApplicableError: no training data with classes, or no network to train.
    """
    import torch

    options: DistilOptions = rung.options
    alone = lesson_of(shop)
    if alone.targets.is_floating_point():
        raise NotApplicableError("distillation here needs labels that are classes")
    teacher = torch.from_numpy(shop.teacher())
    taught = Lesson(
        inputs=alone.inputs,
        targets=torch.cat([teacher, alone.targets.to(teacher.dtype)[:, None]], dim=1),
        loss=distillation_loss(options.temperature, options.weight),
    )
    start = _student(options, subject, shop.seed)
    if options.control:
        shop.controls["without the teacher"] = _learned(start, alone, options, shop, "control").onnx
    return _learned(start, taught, options, shop, "distilled")


def _learned(start: nn.Module, lesson: Lesson, options: DistilOptions, shop: Workshop, name: str) -> Subject:
    student = clone(start).train()
    fit(student, lesson, options, seed=shop.seed)
    return exported(student.eval(), shop, name)


def distillation_loss(temperature: float, weight: float) -> Loss:
    """Return the loss on (scores, [teacher's scores, class]).

    ``weight * T^2 * KL(teacher / T, student / T) + (1 - weight) * cross entropy``, after Hinton, Vinyals and
    Dean (2015); the factor T^2 keeps the size of the gradient independent of the temperature.
    """
    from torch.nn import functional

    def loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        teacher, labels = targets[:, :-1], targets[:, -1].long()
        soft = functional.kl_div(
            functional.log_softmax(scores / temperature, dim=1),
            functional.log_softmax(teacher / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return weight * temperature**2 * soft + (1 - weight) * functional.cross_entropy(scores, labels)

    return loss


def _student(options: DistilOptions, subject: Subject, seed: int) -> nn.Module:
    import torch

    if options.student is None:
        return clone(need_module(subject))
    torch.manual_seed(seed)
    student: nn.Module = load_function(options.student)()
    return student


METHOD = Method(name="distil", options=DistilOptions, rungs=only_rung, apply=apply, needs_module=True)
