"""Mixed precision by what the device can do: bf16 where it is quick, fp16 with scaling on older GPUs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Choice = Literal["auto", "fp32", "bf16", "fp16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_BF16_CAPABILITY = (8, 0)  # Ampere: tensor cores for bf16
_FP16_CAPABILITY = (7, 0)  # Volta: tensor cores for fp16 only


class Precision(NamedTuple):
    """What to compute in.

    Attributes:
        dtype: of the products inside ``autocast``; float32 means no mixed precision.
        needs_scaling: whether small gradients must be scaled up not to vanish (fp16).
    """

    dtype: torch.dtype
    needs_scaling: bool


def choose_precision(choice: Choice, device: str, capability: tuple[int, int] | None) -> Precision:
    """Return the precision that saves time and memory on a device without harm.

    Args:
        choice: ``"auto"`` or what the user wants.
        device: ``"cuda"`` or ``"cpu"``.
        capability: CUDA compute capability, e.g. (8, 0) for A100; None without a GPU.

    Raises:
        UsageError: there is no such precision.
    """
    if choice != "auto":
        if choice not in _DTYPES:
            msg = f"precision must be one of auto, {', '.join(_DTYPES)}, not {choice!r}"
            raise UsageError(msg)
        return Precision(_DTYPES[choice], needs_scaling=choice == "fp16")
    if device != "cuda" or capability is None or capability < _FP16_CAPABILITY:
        return Precision(torch.float32, needs_scaling=False)
    if capability < _BF16_CAPABILITY:
        return Precision(torch.float16, needs_scaling=True)
    return Precision(torch.bfloat16, needs_scaling=False)


class MixedPrecision:
    """``autocast`` and, where needed, gradient scaling behind one pair of calls.

    ::

        amp = MixedPrecision()
        run.state(model=model, optimizer=optimizer, amp=amp)
        with amp.autocast():
            loss = ...
        amp.step(loss, optimizer)

    Attributes:
        precision: what was chosen.
    """

    def __init__(self, choice: Choice = "auto", device: str | None = None) -> None:
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        capability = torch.cuda.get_device_capability() if self._device == "cuda" else None
        self.precision = choose_precision(choice, self._device, capability)
        self._scaler = torch.amp.GradScaler(self._device, enabled=self.precision.needs_scaling)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for the forward pass and the loss."""
        if self.precision.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self._device, dtype=self.precision.dtype)

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients, scaled up where that is needed."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self, loss: torch.Tensor | None, optimizer: torch.optim.Optimizer, *, clip_norm: float | None = None
    ) -> None:
        """Compute gradients of ``loss`` (None: they are there already), clip them, and update the weights.

        With fp16 an update whose gradients overflowed is left out and the scale made smaller.
        """
        if loss is not None:
            self.backward(loss)
        if clip_norm is not None:
            self._scaler.unscale_(optimizer)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and its history."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the scale back; nothing to take when this device needs none."""
        if state:
            self._scaler.load_state_dict(state)
