"""How long the web pages take over a year of a big ledger, served by ``mlcost web`` and asked over HTTP.

    .venv/bin/python benchmarks/web_pages.py [--rows 1000000]

Writes build/bench/web_pages.json: for each page the first load after the start, the median and the slowest of
the next ones, and the median of the server's CPU time, which tells more on a busy machine; beside them the
time of the one query that reads the same sums in a bare ``sqlite3`` connection, as the yardstick of the same
machine and moment.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

from ledger_rows import RATES, jobs
from mlcost_accounting.bulk import Kinds
from mlcost_accounting.calendar import Calendar
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.store import open_ledger
from mlcost_accounting.projects import ProjectMap
from mlcost_accounting.rating import Rater
from mlcost_accounting.savedfiles import SavedRows

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rates import load_rates
from mlcost_hpc.slurm.commands import SACCT_FIELDS

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "bench" / "work"
PAGES = {
    "overview of a year": "/?period=2026",
    "overview of a month": "/?period=2026-10",
    "group, a year": "/account/account0?period=2026",
    "user, a year": "/user/user0?period=2026",
    "waste, a year": "/waste?period=2026",
    "job": "/job/500000",
    "invoices": "/invoices",
    "invoice": "/invoice/2026-10/account0",
    "budgets": "/budgets",
    "operator": "/operator",
}
BARE = """
SELECT dim_id, SUM(cost), SUM(gpu_s) FROM daily WHERE day BETWEEN ? AND ? GROUP BY dim_id
"""
LIMIT_S = 1.0


def build_ledger(path: Path, rows: int) -> None:
    """Make a ledger with a year of runs, unless it is there."""
    if path.exists():
        open_ledger(path, ZoneInfo("UTC")).close()  # brings one of an older version up to date
        return
    text = path.with_suffix(".txt")
    with text.open("w") as out:
        for job in jobs(rows, 365):
            out.write("\x1f".join(str(job[field.lower()]) for field in SACCT_FIELDS) + "\n")
    rates = WORK / "rates.toml"
    rates.write_text(RATES)
    zone = ZoneInfo("UTC")
    kinds = Kinds(Rater(load_rates(rates), load_catalog(), Calendar(zone)), ProjectMap())
    fresh = path.with_suffix(".new")
    with open_ledger(fresh, zone) as ledger:
        taker = Ingest(ledger, kinds)
        layouts: list = []
        parts = SavedRows(text, SACCT_FIELDS, "\x1f").read(layouts.append)
        first = next(parts)
        taker.text(chain((first,), parts), layouts[0], seen=2_000_000_000)
        ledger.refresh()
        ledger.set_meta("currency", "USD")
        ledger.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    text.unlink()
    fresh.rename(path)


def ask(address: str, page: str) -> tuple[float, int]:
    """Return (seconds, bytes) of a page, asked for as an operator."""
    request = urllib.request.Request(address + page, headers={"X-Remote-User": "root"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        size = len(answer.read())
    return time.perf_counter() - began, size


def cpu_s(process: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(ledger: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the pages and return the process and its address once it answers."""
    settings = WORK / "web.toml"
    settings.write_text(
        f'[paths]\nledger = "{ledger}"\nrates = "rates.toml"\n[web]\nuser_header = "X-Remote-User"\n'
        'trusted_proxies = ["127.0.0.1"]\noperators = ["root"]\n'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlcost_hpc.cli.main", "--config", str(settings), "web"]
    server = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            ask(address, "/healthz")
        except OSError:
            time.sleep(0.1)
        else:
            return server, address
    sys.exit("the pages could not be served")


def main() -> None:
    """Build, serve, measure, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ledger = WORK / f"web-{options.rows}.db"
    build_ledger(ledger, options.rows)
    connection = sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)
    span = (date(2026, 1, 1).toordinal(), date(2026, 12, 31).toordinal())
    bare = []
    for _ in range(options.times):
        began = time.perf_counter()
        connection.execute(BARE, span).fetchall()
        bare.append(time.perf_counter() - began)
    result: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0],
        "daily_rows": connection.execute("SELECT COUNT(*) FROM daily").fetchone()[0],
        "bare_query_s": round(statistics.median(bare), 4),
    }
    server, address = serve(ledger)
    pages = {}
    try:
        for name, page in PAGES.items():
            first, size = ask(address, page)
            later, used = [], []
            for _ in range(options.times):
                before = cpu_s(server.pid)
                later.append(ask(address, page)[0])
                used.append(cpu_s(server.pid) - before)
            median = statistics.median(later)
            pages[name] = {
                "first_s": round(first, 3),
                "median_s": round(median, 3),
                "slowest_s": round(max(later), 3),
                "cpu_s": round(statistics.median(used), 3),
                "kilobytes": size // 1000,
                "times_bare_query": round(median / statistics.median(bare), 2),
                "within_limit": median <= LIMIT_S,
            }
            print(
                f"{name:22} first {first:6.3f} s  then {median:6.3f} s  "
                f"(CPU {statistics.median(used):5.2f} s)  {size // 1000:4} kB"
            )
    finally:
        server.terminate()
        server.wait(timeout=20)
    result["pages"] = pages
    target = ROOT / "build" / "bench" / "web_pages.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(f"bare query {result['bare_query_s']} s over {result['daily_rows']:,} daily rows; wrote {target}")


if __name__ == "__main__":
    main()
