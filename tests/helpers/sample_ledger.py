"""A ledger that looks like a year of a small site: three groups, habits, failures, hostile names."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from ledger_kit import Books, make_book, make_kinds, row
from mlcost_accounting.ledger.hierarchy import keep_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.rates import RateBook

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
HOSTILE_USER = "eve<b>&'\""
GROUPS = {
    "nlp": ("ana", "dora"),
    "vision": ("ben", HOSTILE_USER),
    "robotics": ("chloe",),
}
PARENTS = {"nlp": "science", "vision": "science", "robotics": "engineering"}
_MODELS = (("a100", "a100"), ("t4", "t4"))
_STATES = ("COMPLETED",) * 14 + ("FAILED", "TIMEOUT", "PREEMPTED", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL")


def sample_rows(today: date, days: int, per_day: int, seed: int = 1) -> list[str]:
    """Return accounting rows of the days up to and with today."""
    draw = random.Random(seed)
    rows = []
    number = 1000
    for back in range(days, -1, -1):
        day = today - timedelta(days=back)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        busy = per_day if day.weekday() < 5 else per_day // 3
        for _ in range(busy):
            number += 1
            account = draw.choices(list(GROUPS), (6, 3, 1))[0]
            user = draw.choice(GROUPS[account])
            gpu, partition = draw.choice(_MODELS)
            gpus = draw.choice((1, 1, 2, 4))
            start = midnight + draw.randrange(0, 72_000)
            elapsed = min(int(draw.lognormvariate(8, 1)), 86_000)
            rows.append(
                row(
                    JobIDRaw=number, JobID=number, DBIndex=number, User=user, Account=account,
                    Partition=partition, State=draw.choice(_STATES), Submit=start - 60, Eligible=start - 60,
                    Start=start, End=start + elapsed, ElapsedRaw=elapsed, TimelimitRaw=1440,
                    AllocTRES=f"cpu={4 * gpus},gres/gpu:{gpu}={gpus},gres/gpu={gpus},mem=32G,node=1",
                    JobName=draw.choice(("train", "eval", "sweep-7", HOSTILE)),
                    QOS=draw.choice(("normal", "normal", "high")),
                    Comment=draw.choice(("", "tag=paper-3", "tag=demo")),
                )
            )  # fmt: skip
    return rows


def special_rows(today: date) -> list[str]:
    """Return a job that was preempted and ran again, one that runs now, and one that is not priced."""
    now = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp())
    gpus = "cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1"
    return [
        row(JobIDRaw=77, JobID=77, DBIndex=77, Submit=now - 90_000, Start=now - 90_000, End=now - 86_400,
            ElapsedRaw=3600, State="PREEMPTED", AllocTRES=gpus, JobName="twice"),
        row(JobIDRaw=77, JobID=77, DBIndex=78, Submit=now - 86_400, Start=now - 86_000, End=now - 78_800,
            ElapsedRaw=7200, AllocTRES=gpus, JobName="twice"),
        row(JobIDRaw=88, JobID="80_3", DBIndex=88, Submit=now, Start=now, End="Unknown", ElapsedRaw=60,
            State="RUNNING", AllocTRES=gpus, JobName=HOSTILE, TimelimitRaw=600),
        row(JobIDRaw=99, JobID="99+1", DBIndex=99, User="ben", Account="vision", Submit=now - 7000,
            Start=now - 7000, End=now - 3400, AllocTRES="cpu=8,gres/gpu:mi300=1,gres/gpu=1,mem=64G,node=1"),
    ]  # fmt: skip


def sample_books(
    path: Path, today: date, *, days: int = 60, per_day: int = 12, book: RateBook | None = None
) -> Books:
    """Return a ledger with the sample rows."""
    books = Books(path, make_kinds(book or make_book()))
    now = int(datetime(today.year, today.month, today.day, 0, 2, tzinfo=UTC).timestamp())
    books.take(*sample_rows(today, days, per_day), *special_rows(today), seen=now)
    keep_accounts(books.ledger, "alpha", PARENTS)
    books.ledger.set_meta("currency", "EUR")
    books.ledger.set_meta("through:alpha", str(now))
    return books
