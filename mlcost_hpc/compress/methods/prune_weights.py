"""Unstructured pruning: the smallest weights become zero.

The file keeps its size and the model its speed on every common runtime; what is gained is a file that
compresses well. The report shows the size after gzip and calls the file itself what it is: a no-op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from mlcost_hpc.compress.methods.base import (
    Method,
    Rung,
    Subject,
    Workshop,
    only_rung,
)
from mlcost_hpc.compress.methods.training import AfterStep, TrainingOptions, retrained

if TYPE_CHECKING:
    import torch
    from torch import nn


class PruneWeightsOptions(TrainingOptions, frozen=True, kw_only=True):
    """Options; the zeros are kept while training.

    Attributes:
        ratio: part of the weights that become zero.
    """

    ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.8


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Prune over all layers by absolute value, then fine-tune.

    Raises:
        NotApplicableError: no torch module or no training data.
    """
    options: PruneWeightsOptions = rung.options

    def sparser(module: nn.Module) -> AfterStep:
        masks = smallest_out(module, options.ratio)

        def keep_zeros() -> None:
            for weight, mask in masks:
                weight.data.mul_(mask)

        keep_zeros()
        return keep_zeros

    shop.notes.append(
        f"{100 * options.ratio:.0f} % of the weights are zero: see the size after gzip, not the speed"
    )
    return retrained(subject, options, shop, "pruned-weights", sparser)


def smallest_out(module: nn.Module, ratio: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return (weight, mask) of each matrix or convolution; masks are 0 for the smallest weights over all."""
    import torch
    from torch import nn as layers

    kinds = (layers.Linear, layers.Conv1d, layers.Conv2d, layers.Conv3d)
    weights = [layer.weight for layer in module.modules() if isinstance(layer, kinds)]
    if not weights:
        return []
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    limit = sizes.kthvalue(max(1, int(ratio * len(sizes)))).values
    return [(weight, (weight.detach().abs() > limit).to(weight.dtype)) for weight in weights]


METHOD = Method(
    name="prune-weights", options=PruneWeightsOptions, rungs=only_rung, apply=apply, needs_module=True
)
