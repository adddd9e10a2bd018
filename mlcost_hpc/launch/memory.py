"""How much memory of one GPU a model needs: an estimate from its size (pure).

Per parameter, following Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models" (SC 2020), section 3: training in mixed precision with Adam keeps 2 bytes of weights, 2 of gradients
and 12 of optimizer state (fp32 copy, momentum, variance); ZeRO stages 1, 2 and 3 divide the optimizer state,
then the gradients, then the weights by the number of GPUs. Activations of a transformer layer take about
``s b h (34 + 5 a s / h)`` bytes in 16 bit (Korthikanti et al., "Reducing Activation Recomputation in Large
Transformer Models", MLSys 2023, equation 1), without the second term where attention is computed in tiles,
and ``2 s b h`` when a layer's activations are recomputed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.catalog import GpuModel
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.speed import Measurement

GIB = 1024**3
Mode = Literal["inference", "training", "lora"]
_BYTES = {"16bit": 2, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1, "int4": 0.5}
# Optimizer state in bytes a parameter, the fp32 copy of 16-bit weights not included.
_OPTIMIZER = {"adam": 8.0, "adamw": 8.0, "adam8bit": 2.0, "adafactor": 0.1, "sgd": 4.0, "none": 0.0}
_ARITHMETIC = frozenset({"bf16", "fp16", "fp8"})  # narrower integers are unpacked, fp32 is everywhere
_LORA_SHARE = 0.01
_RESERVE = 1.1  # CUDA context, libraries, fragmentation
_CONTEXT = GIB


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model and how it is run.

    Attributes:
        parameters: number of parameters.
        dtype: of the weights in use: ``16bit`` (whichever the GPU computes in), ``bf16``, ``fp16``, ``fp32``,
            ``fp8``, ``int8``, ... A type of floating point that is named must be one the GPU computes in.
        mode: ``inference``, ``training`` (all parameters) or ``lora`` (one in a hundred).
        optimizer: ``adam``, ``adam8bit``, ``adafactor``, ``sgd`` or ``none``.
        mixed: training keeps an fp32 copy of 16-bit weights.
        batch: samples in one forward pass: with gradient accumulation, those of a micro-batch.
        sequence: tokens of one sample; 0 = no transformer, activations are not estimated.
        hidden, layers: of a transformer; 0 = guessed from the parameters (12 h^2 a layer, h = 128 x layers).
        shards: GPUs over which ZeRO or FSDP divides; 0 = all of the job's.
        stage: what they divide: 0 nothing, 1 optimizer state, 2 gradients too, 3 weights too.
        recompute: activations are recomputed in the backward pass.
    """

    parameters: float
    dtype: str = "16bit"
    mode: Mode = "training"
    optimizer: str = "adamw"
    mixed: bool = True
    batch: int = 1
    sequence: int = 0
    hidden: int = 0
    layers: int = 0
    shards: int = 0
    stage: int = 0
    recompute: bool = False


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one GPU, by what they hold; ``total`` has 10 % and 1 GiB on top for what frameworks take."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> int:
        """All of it."""
        parts = self.weights + self.gradients + self.optimizer + self.activations
        return int(parts * _RESERVE + _CONTEXT)


ASKED = "you asked for"


class Wanted(NamedTuple):
    """Memory that each GPU must have, and who says so: ``you asked for``, ``this job needed on v100``."""

    size: int
    why: str


def wanted_memory(need: Need, gpus: int, own: Sequence[Measurement]) -> Wanted:
    """Return the memory each GPU must have: what was asked for, else measured, else estimated; 0 = any.

    Args:
        need: what was asked for.
        gpus: how many GPUs the job is to have: sharded states are divided by them.
        own: what was measured on this job. The measurement with the nearest number of GPUs counts, and of
            those the largest, with the same reserve on top as an estimate has.
    """
    if need.gpu_memory:
        return Wanted(need.gpu_memory, ASKED)
    known = [item for item in own if item.peak_memory is not None]
    if known:
        nearest = min(known, key=lambda item: (abs(item.gpus - gpus), -(item.peak_memory or 0)))
        size = int((nearest.peak_memory or 0) * _RESERVE + _CONTEXT)
        return Wanted(size, f"by its peak on {nearest.gpu_model} this job needs")
    if need.model is not None:
        return Wanted(gpu_memory(need.model, gpus).total, "the model is estimated to need")
    return Wanted(0, "")


def lacks_dtype(model: Model, gpu: GpuModel) -> bool:
    """Tell whether a GPU has no arithmetic of the floating-point type that a model is to be computed in."""
    return model.dtype in _ARITHMETIC and model.dtype not in gpu.tflops


def gpu_memory(model: Model, gpus: int = 1) -> Memory:
    """Return the memory a model needs on each of some GPUs.

    Raises:
        KeyError: for an unknown dtype or optimizer.
    """
    shards = model.shards or gpus
    each = _BYTES[model.dtype]
    trained = {"inference": 0.0, "training": 1.0, "lora": _LORA_SHARE}[model.mode] * model.parameters
    state = _OPTIMIZER[model.optimizer]
    copy = 4.0 if model.mixed and each < 4 else 0.0
    return Memory(
        weights=model.parameters * each / (shards if model.stage >= 3 else 1),
        gradients=trained * each / (shards if model.stage >= 2 else 1),
        optimizer=trained * (state + copy) / (shards if model.stage >= 1 else 1),
        activations=_activations(model, each),
    )


def _activations(model: Model, each: float) -> float:
    if not model.sequence:
        return 0.0
    layers = model.layers or max(1, round((model.parameters / (12 * 128**2)) ** (1 / 3)))
    hidden = model.hidden or max(128, round((model.parameters / (12 * layers)) ** 0.5))
    tokens = model.sequence * model.batch
    if model.mode == "inference":
        return 2 * layers * tokens * hidden * max(each, 2)  # keys and values
    a_layer = tokens * hidden * (2 if model.recompute else 34) * each / 2
    return layers * a_layer + (tokens * hidden * 34 * each / 2 if model.recompute else 0)
