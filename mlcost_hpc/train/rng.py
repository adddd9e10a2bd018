"""The state of all random number generators of a process."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch


def capture() -> dict[str, Any]:
    """Return the state of Python's, NumPy's, torch's and the GPUs' default generators."""
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        import numpy as np

        kind, keys, position, has_gauss, gauss = np.random.get_state()
        state["numpy"] = (
            str(kind),
            torch.tensor(keys),
            int(position),
            int(has_gauss),
            float(gauss),
        )
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore(state: dict[str, Any]) -> None:
    """Put the generators back to where :func:`capture` found them.

    GPUs are matched by number; with fewer GPUs than before the surplus states are left out.
    """
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        import numpy as np

        kind, keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state((kind, keys.numpy(), position, has_gauss, gauss))
    if "cuda" in state and torch.cuda.is_available():
        for number, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(one, number)
