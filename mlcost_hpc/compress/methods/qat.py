"""Quantization-aware training: the model is trained while its numbers are rounded as they will be.

torchao puts the rounding in and trains; the trained weights go back into the module, and the same quantizer
as in ``int8-static`` makes the file, since torchao's own Q/DQ nodes are placed for another runtime and slow
in ONNX Runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from mlcost_hpc.compress.methods import int8_static
from mlcost_hpc.compress.methods.base import (
    Method,
    NotApplicableError,
    Rung,
    Subject,
    Workshop,
    need_module,
)
from mlcost_hpc.compress.methods.quiet import quiet
from mlcost_hpc.compress.methods.training import (
    TrainingOptions,
    clone,
    examples,
    exported,
    fit,
    lesson_of,
)
from mlcost_hpc.compress.runtime import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


class QatOptions(TrainingOptions, frozen=True, kw_only=True):
    """Options; the learning rate is small, since the model is trained already."""

    epochs: Annotated[int, msgspec.Meta(gt=0)] = 2
    lr: Annotated[float, msgspec.Meta(gt=0)] = 1e-4


class _RungOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One rung: how to train and how to quantize afterwards."""

    training: QatOptions
    quantizing: Rung


def rungs(subject: Subject, options: QatOptions, shop: Workshop) -> Sequence[Rung]:
    """Return the rungs of the quantizer; the training is done once for all of them."""
    ladder = int8_static.rungs(subject, int8_static.Int8StaticOptions(), shop)
    return [
        Rung(name=rung.name, options=_RungOptions(training=options, quantizing=rung), mends=rung.mends)
        for rung in ladder
    ]


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:
    """Train with rounding, put the weights back, quantize.

    Raises:
        NotApplicableError: no torch module, no training data, no torchao, or a model it cannot follow.
    """
    options: _RungOptions = rung.options
    key = ("qat", subject.onnx, options.training)
    if key not in shop.cache:
        shop.cache[key] = exported(_trained(subject, options.training, shop), shop, "qat")
    trained: Subject = shop.cache[key]
    return int8_static.apply(trained, options.quantizing, shop)


def _trained(subject: Subject, options: QatOptions, shop: Workshop) -> nn.Module:
    module = clone(need_module(subject))
    lesson = lesson_of(shop)
    try:
        with quiet():
            prepared = with_rounding(module, examples(shop, 4))
    except ImportError:
        raise NotApplicableError("needs torchao: pip install 'mlcost-hpc[compress]'") from None
    except Exception as error:
        raise NotApplicableError(f"torchao cannot follow this model: {first_line(error)}") from error
    fit(prepared, lesson, options, seed=shop.seed)
    own = module.state_dict()
    learned = {name: value for name, value in prepared.state_dict().items() if name in own}
    if not any(name.endswith("weight") for name in learned):
        raise NotApplicableError("the trained weights cannot be found again in torchao's graph")
    module.load_state_dict(learned, strict=False)
    return module.eval()


def with_rounding(module: nn.Module, example: list[torch.Tensor]) -> nn.Module:
    """Return the module as a graph with 8-bit rounding of weights and activations put in."""
    import torch
    from torch.export import Dim
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    batch = Dim("batch", min=2, max=4096)
    graph = torch.export.export(
        module.train(), tuple(example), dynamic_shapes=({0: batch},) * len(example)
    ).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    prepared: nn.Module = prepare_qat_pt2e(graph, quantizer)
    return prepared


METHOD = Method(name="qat", options=QatOptions, rungs=rungs, apply=apply, needs_module=True)
