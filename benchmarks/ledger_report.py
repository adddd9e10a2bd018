"""A month's report over a large ledger, and a quarter charged again under another card.

    .venv/bin/python benchmarks/ledger_report.py [--rows 1000000] [--large 10000000]

The ledgers are a year long. Writes build/bench/ledger_report.json.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from ledger_ingest import FIELDS, fresh
from ledger_rows import RATES, jobs
from mlcost_accounting.bulk import Kinds
from mlcost_accounting.calendar import Calendar
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.rerate import rerate
from mlcost_accounting.ledger.store import Ledger, open_ledger
from mlcost_accounting.projects import ProjectMap
from mlcost_accounting.rating import Rater
from mlcost_accounting.reports import usage

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rates import RateBook, load_rates
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "bench" / "work"
ZONE = ZoneInfo("UTC")
PART = 15_000


def parts(count: int) -> Iterator[str]:
    """Yield a year of rows as text."""
    lines = []
    for job in jobs(count, 365):
        lines.append("\x1f".join(str(job[field]) for field in FIELDS) + "\n")
        if len(lines) == PART:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def kinds_of(book: RateBook) -> Kinds:
    """Return how the rows are rated."""
    return Kinds(Rater(book, load_catalog(), Calendar(ZONE)), ProjectMap())


def large_ledger(count: int, book: RateBook) -> tuple[Ledger, float]:
    """Return a ledger of a year with so many runs, kept between benchmarks, and the seconds it took."""
    path = WORK / f"year-{count}.db"
    began = time.perf_counter()
    if not path.exists():
        ledger = open_ledger(fresh(path.with_suffix(".part")), ZONE)
        Ingest(ledger, kinds_of(book)).text(parts(count), Layout.of(FIELDS, "\x1f"), seen=2_000_000_000)
        ledger.refresh()
        ledger.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ledger.close()
        path.with_suffix(".part").rename(path)
    return open_ledger(path, ZONE), time.perf_counter() - began


def month_report(ledger: Ledger) -> dict[str, float]:
    """Return how long the report of one month takes, the median of five, and its CPU time."""
    took, used = [], []
    for month in (3, 5, 7, 9, 11):
        began, cpu = time.perf_counter(), time.process_time()
        rows = usage(ledger, ["account", "user"], date(2026, month, 1), date(2026, month, 28))
        took.append(time.perf_counter() - began)
        used.append(time.process_time() - cpu)
    return {"seconds": sorted(took)[2], "slowest": max(took), "cpu_s": sorted(used)[2], "lines": len(rows)}


def dearer(book: RateBook) -> RateBook:
    """Return a book with other prices."""
    card = msgspec.structs.replace(book.card[0], cpu_hour=Decimal("0.02"))
    return msgspec.structs.replace(book, card=(card,))


def main() -> None:
    """Measure and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--large", type=int, default=10_000_000)
    chosen = options.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "rates.toml").write_text(RATES)
    book = load_rates(WORK / "rates.toml")
    result: dict[str, object] = {"benchmark": "ledger_report"}
    for count in (chosen.rows, chosen.large):
        if not count:
            continue
        ledger, built_s = large_ledger(count, book)
        result[f"month_of_{count}"] = {**month_report(ledger), "built_s": built_s}
        if count == chosen.rows:
            since, until = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (4, 7))
            began, cpu = time.perf_counter(), time.process_time()
            done = rerate(ledger, kinds_of(dearer(book)), since=since, until=until)
            ledger.refresh()
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            result["rerate_quarter"] = {
                "runs": done,
                "seconds": seconds,
                "cpu_s": cpu_s,
                "runs_per_s": done / seconds,
            }
            rerate(ledger, kinds_of(book), since=since, until=until)
            ledger.refresh()
        ledger.close()
    (ROOT / "build" / "bench" / "ledger_report.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
