"""Progressive resizing: small pictures first, full size at the end; early steps cost a fraction."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ProgressiveSize:
    """The picture size for each step, as a pure function of the step, so a restart needs no state.

    Args:
        plan: pairs (share of the run from which it holds, size in pixels), the first from 0.0,
            e.g. ``((0.0, 128), (0.5, 192), (0.8, 224))``.
        total: steps of the whole run.

    Raises:
        UsageError: the plan does not begin at 0.0, or its shares do not rise within 0 to 1.
    """

    def __init__(self, plan: Sequence[tuple[float, int]], total: int) -> None:
        shares = [share for share, _ in plan]
        rises = all(before < after for before, after in itertools.pairwise(shares))
        if not shares or shares[0] != 0.0 or not rises or shares[-1] >= 1.0:
            msg = f"the plan must begin at 0.0 and rise within 0 to 1, not {shares}"
            raise UsageError(msg)
        self._plan = tuple(plan)
        self._total = total

    def size(self, step: int) -> int:
        """Return the size in pixels for ``step`` (from 0)."""
        return next(size for share, size in reversed(self._plan) if step >= share * self._total)

    def resize(self, images: torch.Tensor, step: int) -> torch.Tensor:
        """Return pictures of shape (N, C, H, W) at the size for ``step``, as (N, C, size, size)."""
        size = self.size(step)
        if images.shape[-2:] == (size, size):
            return images
        return torch.nn.functional.interpolate(
            images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )

    def relative_cost(self) -> float:
        """Return the cost of the run relative to full size throughout, for cost growing with the pixels."""
        ends = [share for share, _ in self._plan[1:]] + [1.0]
        full = self._plan[-1][1]
        return sum(
            (end - share) * (size / full) ** 2 for (share, size), end in zip(self._plan, ends, strict=True)
        )
