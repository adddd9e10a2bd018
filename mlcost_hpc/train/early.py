"""Stopping when more training no longer helps."""

from __future__ import annotations

import math
from typing import Any


class EarlyStopping:
    """Says when a figure of merit has stopped improving. Lower is better.

    ::

        stopping = EarlyStopping(patience=5)
        run.state(stopping=stopping)
        ...
        if stopping.update(validation_loss):
            run.stop("validation loss no longer falls")

    Args:
        patience: how many updates without improvement are waited for.
        min_delta: by how much a value must be better to count.

    Attributes:
        best: the lowest value so far.
        waited: updates since then.
    """

    def __init__(self, patience: int, *, min_delta: float = 0.0) -> None:
        self._patience = patience
        self._min_delta = min_delta
        self.best = math.inf
        self.waited = 0

    def update(self, value: float) -> bool:
        """Take note of a value; return whether to stop. A value that is not a number is no improvement."""
        if value < self.best - self._min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and how long it has been waited for a better one."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.best, self.waited = state["best"], state["waited"]
