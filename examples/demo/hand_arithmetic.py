"""The chargeback worked out again from Slurm's own text, with nothing of mlcost's code.

    cost = (GPUs x price + CPUs x price + GiB x price) x partition multiplier x hours

for every line of ``sacct -D -X``: each run of a requeued job is a line of its own.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SACCT = (
    "sacct", "-a", "-D", "-X", "-n", "-P", "--noconvert", "-S", "2000-01-01", "-E", "now+1days",
    "-o", "Account,User,Partition,ElapsedRaw,AllocTRES",
)  # fmt: skip

Costs = dict[tuple[str, str], Decimal]
MODEL_OF_TYPE = {"t4": "t4", "v100": "v100", "a100": "a100-40gb", "h100": "h100"}


def costs_by_hand(sacct_text: str, rates_file: Path) -> Costs:
    """Return (account, user) -> cost, exact, from the lines of :data:`SACCT`."""
    with rates_file.open("rb") as file:
        [card] = tomllib.load(file, parse_float=Decimal)["card"]
    costs: Costs = defaultdict(Decimal)
    for line in sacct_text.splitlines():
        account, user, partition, seconds, tres = line.split("|")
        held = dict(item.split("=") for item in tres.split(",") if item)
        per_hour = card["cpu_hour"] * int(held.get("cpu", 0))
        per_hour += card["memory_gib_hour"] * int(held.get("mem", "0M").removesuffix("M")) / 1024
        for gres, model in MODEL_OF_TYPE.items():
            per_hour += card["gpu_hour"][model] * int(held.get(f"gres/gpu:{gres}", 0))
        multiplier = card.get("partition", {}).get(partition, {}).get("multiplier", 1)
        costs[account, user] += per_hour * multiplier * int(seconds) / 3600
    return costs


def differences(by_hand: Costs, reported: Costs) -> list[str]:
    """Return a sentence for each (account, user) where the two differ by more than rounding allows.

    A charge is rounded to a millionth once a run, so a sum may be off by half a millionth a run;
    a hundredth of a cent is far above that and far below any mistake worth finding.
    """
    return [
        f"{'/'.join(key)}: by hand {by_hand.get(key)}, reported {reported.get(key)}"
        for key in sorted(by_hand.keys() | reported.keys())
        if abs(by_hand.get(key, Decimal(0)) - reported.get(key, Decimal(0))) > Decimal("0.0001")
    ]
