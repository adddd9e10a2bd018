"""Distillation: a small, cheap model learns from what a large one says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    import torch


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor | None = None,
    *,
    temperature: float = 2.0,
    weight: float = 0.5,
) -> torch.Tensor:
    """Return the loss of a student that should follow the teacher and, if there are any, the labels.

    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015): the divergence
    of the softened distributions, times the square of the temperature so that gradients keep their size.

    Args:
        student: scores, shape (N, classes).
        teacher: scores of the teacher, same shape; no gradient flows into it.
        labels: classes, shape (N,); None for data without labels.
        temperature: how much the distributions are softened.
        weight: share of the teacher; the rest is the cross entropy with the labels.

    Returns:
        A scalar, the mean over the batch.
    """
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher.detach() / temperature, dim=-1),
        log_target=True,
        reduction="batchmean",
    )
    loss = soft * temperature**2
    if labels is None:
        return loss
    return weight * loss + (1 - weight) * functional.cross_entropy(student, labels)
