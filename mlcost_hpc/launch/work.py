"""How much there is to do, as people write it (pure)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.need import Work

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog

_WORK = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?(?:e\d+)?)\s*(?P<unit>steps?|flops?|h)(?:@(?P<gpu>.+))?", re.IGNORECASE
)


def parse_work(text: str, catalog: Catalog) -> Work:
    """Return ``20000steps``, ``10h@v100`` or ``1e21flop`` as work.

    Raises:
        UsageError: for anything else, or a GPU that is not in the catalogue.
    """
    match = _WORK.fullmatch(text.strip())
    if match is None or (match["gpu"] is not None) != (match["unit"].lower() == "h"):
        raise UsageError(f"work {text}: write 20000steps, 10h@v100 or 1e21flop")
    amount = float(match["amount"])
    if amount <= 0:
        raise UsageError(f"work {text}: there must be something to do")
    if match["gpu"] is None:
        return Work(amount=amount, unit="flop" if match["unit"].lower().startswith("flop") else "steps")
    model = catalog.find(match["gpu"])
    if model is None:
        raise UsageError(f"work {text}: {match['gpu']!r} is not in the GPU catalogue (mlcost gpu models)")
    return Work(amount=amount, unit="hours", gpu_model=model.key)
