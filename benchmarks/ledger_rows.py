"""Synthetic accounting rows for the ledger's benchmarks: the same jobs for every program that reads them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
USERS, ACCOUNTS = 300, 40
STATES = ("COMPLETED",) * 8 + ("FAILED", "TIMEOUT", "CANCELLED by 1000")


def jobs(count: int, days: float, seed: int = 1) -> Iterator[dict[str, object]]:
    """Yield jobs of a cluster with three GPU partitions and one without, as sacct fields in lower case."""
    chance = random.Random(seed)
    gap = days * 86400 / count
    for number in range(count):
        user = int(USERS * chance.random() ** 2)
        partition = chance.choice(("t4", "a100", "h100", "cpu"))
        gpus = chance.choice((1, 1, 1, 2, 4, 8))
        cpus, memory = gpus * 8, gpus * 64
        gres = "" if partition == "cpu" else f"gres/gpu:{partition}={gpus},gres/gpu={gpus},"
        tres = f"billing={cpus},cpu={cpus},{gres}mem={memory}G,node=1"
        submitted = int(BEGIN + number * gap)
        start = submitted + int(chance.expovariate(1 / 1200))
        elapsed = int(chance.expovariate(1 / 5400)) + 1
        yield {
            "jobidraw": 100_000 + number, "jobid": 100_000 + number,
            "dbindex": 10_000_000_000_000_000_000 + number, "user": f"user{user}", "uid": 1000 + user,
            "account": f"account{user % ACCOUNTS}", "partition": partition, "qos": "normal",
            "state": chance.choice(STATES), "submit": submitted, "eligible": submitted, "start": start,
            "end": start + elapsed, "elapsedraw": elapsed, "suspended": "00:00:00", "timelimitraw": 1440,
            "alloctres": tres, "reqtres": tres, "nnodes": 1,
            "nodelist": f"{partition}-{number % 64}", "exitcode": "0:0", "reservation": "",
            "reservationid": "", "wckey": "",
            "jobname": f"train_{number % 977}", "comment": "", "cluster": "alpha",
        }  # fmt: skip


RATES = """
currency = "USD"
[[card]]
valid_from = 2020-01-01
cpu_hour = 0.01
memory_gib_hour = 0.002
gpu_hour = { t4 = 0.35, a100-40gb = 1.5, h100 = 3.0 }
[card.partition.a100]
multiplier = 0.4
"""
