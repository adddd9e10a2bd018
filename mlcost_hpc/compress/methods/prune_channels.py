"""Structured pruning: whole channels go, the model becomes smaller and faster by itself.

Right after pruning a model is usually worthless; it is always fine-tuned. In transformers only the inner
layers of feed-forward blocks are pruned: attention keeps its shapes, which code outside the layers relies
on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlcost_hpc.compress.methods.base import (
    Method,
    NotApplicableError,
    Rung,
    Subject,
    Workshop,
)
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.training import TrainingOptions, examples, retrained
from mlcost_hpc.compress.runtime import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


class PruneChannelsOptions(TrainingOptions, frozen=True, kw_only=True):
    """Options.

    Attributes:
        ratio: part of the channels that go.
    """

    ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    lr: Annotated[float, msgspec.Meta(gt=0)] = 2e-3


def rungs(subject: Subject, options: PruneChannelsOptions, shop: Workshop) -> Sequence[Rung]:  # noqa: ARG001
    """Return the asked ratio, then half and a quarter of it."""
    return [
        Rung(
            name=f"{100 * options.ratio * part:.0f} % of the channels",
            options=msgspec.structs.replace(options, ratio=options.ratio * part),
            mends=frozenset({"wrong", "failed"}),
        )
        for part in (1.0, 0.5, 0.25)
    ]


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Prune, check by a forward pass, fine-tune, export.

    Raises:
        NotApplicableError: no torch module, no training data, or nothing that can be pruned.
    """
    options: PruneChannelsOptions = rung.options

    def smaller(module: nn.Module) -> None:
        before = sum(parameter.numel() for parameter in module.parameters())
        with quiet():
            prune(module, examples(shop, 2), options.ratio)
        after = sum(parameter.numel() for parameter in module.parameters())
        if after >= before:
            raise NotApplicableError("no channel could be removed")
        shop.notes.append(f"{before:,} -> {after:,} weights")

    return retrained(subject, options, shop, "pruned-channels", smaller)


def prune(module: nn.Module, example: list[torch.Tensor], ratio: float) -> None:
    """Remove channels in place, those with the smallest norms over their group.

    Raises:
        NotApplicableError: the library cannot follow this model, or the pruned model does not run.
    """
    import torch
    import torch_pruning

    module.train()  # dependencies are traced with gradients
    arguments: dict[str, Any] = {
        "importance": torch_pruning.importance.GroupMagnitudeImportance(p=2),
        "pruning_ratio": ratio,
        "ignored_layers": protected_layers(module, example),
    }
    try:
        torch_pruning.pruner.MetaPruner(module, tuple(example), **arguments).step()
        module.eval()
        with torch.no_grad():
            module(*example)
    except Exception as error:
        raise NotApplicableError(f"the model cannot be pruned by channels: {first_line(error)}") from error


def protected_layers(module: nn.Module, example: list[torch.Tensor]) -> list[nn.Module]:
    """Return the layers whose outputs must keep their width.

    The last layer always; in a model with attention every layer but those that widen inside a feed-forward
    block, since reshapes to heads and residual sums fix all other widths.
    """
    import torch
    from torch import nn as layers

    order: list[nn.Module] = []
    kinds = (layers.Linear, layers.Conv1d, layers.Conv2d, layers.Conv3d)
    hooks = [
        layer.register_forward_hook(lambda layer, *_: order.append(layer))
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    was_training = module.training
    module.eval()
    with torch.no_grad():
        module(*example)
    module.train(was_training)
    for hook in hooks:
        hook.remove()
    if not has_attention(module, order):
        return order[-1:]
    return [
        layer
        for layer, following in zip(order, [*order[1:], None], strict=True)
        if not _widens(layer, following)
    ]


def has_attention(module: nn.Module, order: Sequence[nn.Module]) -> bool:
    """Return whether a model looks like a transformer: attention or layer norms among linear layers."""
    from torch import nn as layers

    kinds = (layers.MultiheadAttention, layers.LayerNorm)
    return any(isinstance(layer, kinds) for layer in module.modules()) and any(
        isinstance(layer, layers.Linear) for layer in order
    )


def _widens(layer: nn.Module, following: nn.Module | None) -> bool:
    """Return whether two layers are the first and second half of a feed-forward block."""
    from torch import nn as layers

    return (
        isinstance(layer, layers.Linear)
        and isinstance(following, layers.Linear)
        and layer.out_features == following.in_features
        and layer.in_features == following.out_features
        and layer.out_features > layer.in_features
    )


METHOD = Method(
    name="prune-channels", options=PruneChannelsOptions, rungs=rungs, apply=apply, needs_module=True
)
