"""How much there is to do, as people write it (pure)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.need import Work

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog

_WORK = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?(?:e\d+)?)\s*(?P<unit>steps?|samples?|flops?|h)(?:@(?P<per>.+))?", re.IGNORECASE
)


def parse_work(text: str, catalog: Catalog) -> Work:
    """Return ``20000steps``, ``5e6samples@256`` (so many a step), ``10h@v100`` or ``1e21flop`` as work.

    Raises:
        UsageError: for anything else, or a GPU that is not in the catalogue.
    """
    match = _WORK.fullmatch(text.strip())
    unit = "" if match is None else match["unit"].lower().rstrip("s")
    if match is None or (match["per"] is not None) != (unit in ("h", "sample")):
        raise UsageError(f"work {text}: write 20000steps, 5e6samples@256 (a step), 10h@v100 or 1e21flop")
    amount = float(match["amount"])
    if amount <= 0:
        raise UsageError(f"work {text}: there must be something to do")
    if unit != "h":
        return Work(
            amount=amount / _samples_a_step(match["per"], text), unit="flop" if unit == "flop" else "steps"
        )
    model = catalog.find(match["per"])
    if model is None:
        raise UsageError(f"work {text}: {match['per']!r} is not in the GPU catalogue (mlcost gpu models)")
    return Work(amount=amount, unit="hours", gpu_model=model.key)


def _samples_a_step(per: str | None, text: str) -> int:
    if per is None:
        return 1
    if not per.isdecimal() or not int(per):
        raise UsageError(f"work {text}: {per!r} is no number of samples that a step takes")
    return int(per)
