"""From sacct's text to a committed, rated ledger, against slurm2sql and a bare upsert of the same rows.

    .venv/bin/python benchmarks/ledger_ingest.py [--rows 1000000] [--rounds 3] [--peer-rows 50000]
                                                 [--memory-rows 3000000]

Writes build/bench/ledger_ingest.json. Every program runs in a process of its own, one at a time, in rounds of
all three, so that what else the machine does meets each of them; the figures are medians over the rounds, the
ratios medians of the rounds' ratios, by the wall clock and by CPU time. The bare upsert writes the same rows
with all their fields as text, under the same key; slurm2sql is installed into a virtual environment under
build/ and reads fewer of the same jobs, because its speed does not depend on how many there are.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
import venv
from itertools import chain
from pathlib import Path
from statistics import median

from ledger_rows import RATES, jobs

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "bench" / "work"
FIELDS = (
    "jobidraw", "jobid", "dbindex", "user", "uid", "account", "partition", "qos", "state", "submit",
    "eligible", "start", "end", "elapsedraw", "suspended", "timelimitraw", "alloctres", "reqtres", "nnodes",
    "nodelist",
    "exitcode", "reservation", "wckey", "jobname", "comment", "cluster",
)  # fmt: skip
PART = 1 << 22


def write_rows(path: Path, count: int) -> Path:
    """Write rows in our field list, unless they are there."""
    if not path.exists():
        with path.open("w") as out:
            for job in jobs(count, count / 33_000):
                out.write("\x1f".join(str(job[field]) for field in FIELDS) + "\n")
    return path


def fresh(path: Path) -> Path:
    """Return a path at which no database is."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return path


def ours(rows: Path, database: Path) -> int:
    """Ingest as the command does, daily sums included; return the number of runs."""
    from zoneinfo import ZoneInfo

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import open_ledger
    from mlcost_accounting.projects import ProjectMap
    from mlcost_accounting.rating import Rater
    from mlcost_accounting.savedfiles import SavedRows

    from mlcost_hpc.catalog import load_catalog
    from mlcost_hpc.rates import load_rates

    rates = WORK / "rates.toml"
    rates.write_text(RATES)
    zone = ZoneInfo("UTC")
    kinds = Kinds(Rater(load_rates(rates), load_catalog(), Calendar(zone)), ProjectMap())
    with open_ledger(database, zone) as ledger:
        taker = Ingest(ledger, kinds)
        layouts: list = []
        parts = SavedRows(rows, FIELDS, "\x1f").read(layouts.append)
        first = next(parts)
        taker.text(chain((first,), parts), layouts[0], seen=2_000_000_000)
        ledger.refresh()
        counts = taker.intake.counts
        return counts.new + counts.known


def bare(rows: Path, database: Path) -> int:
    """Split the same text and upsert it as it is: what SQLite and Python cost at the least."""
    names = ", ".join(f"{field} TEXT" for field in FIELDS)
    updates = ", ".join(f"{field} = excluded.{field}" for field in FIELDS)
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"CREATE TABLE runs ({names}, PRIMARY KEY (cluster, dbindex, submit))")
    upsert = (
        f"INSERT INTO runs VALUES ({', '.join('?' * len(FIELDS))}) "
        f"ON CONFLICT (cluster, dbindex, submit) DO UPDATE SET {updates}"
    )
    total, rest = 0, ""
    with rows.open() as text:
        while part := text.read(PART):
            lines = (rest + part).split("\n")
            rest = lines.pop()
            db.execute("BEGIN")
            db.executemany(upsert, [line.split("\x1f") for line in lines])
            db.execute("COMMIT")
            total += len(lines)
    db.close()
    return total


PEER = """
import json, sqlite3, sys, time
import slurm2sql
if sys.argv[1] == "columns":
    names = [*slurm2sql.COLUMNS, *slurm2sql.COLUMNS_EXTRA]
    print(json.dumps([name for name in names if not name.startswith("_")]))
    sys.exit()
db = sqlite3.connect(sys.argv[3])
wall, cpu = time.perf_counter(), time.process_time()
slurm2sql.slurm2sql(db, raw_sacct=open(sys.argv[2]))
db.commit()
print(json.dumps({"rows": db.execute("SELECT COUNT(*) FROM slurm").fetchone()[0],
                  "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}))
"""


def peer_python() -> Path:
    """Return the interpreter that has slurm2sql."""
    folder = ROOT / "build" / "bench" / "slurm2sql-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "slurm2sql"], check=True)
    return python


def peer_rows(python: Path, path: Path, count: int) -> Path:
    """Write the same jobs as slurm2sql asks sacct for them."""
    columns = json.loads(
        subprocess.run([python, "-c", PEER, "columns"], check=True, capture_output=True).stdout
    )
    with path.open("w") as out:
        out.write(";|;".join(columns) + "\n")
        for job in jobs(count, count / 33_000):
            moments = {name: iso(job[name]) for name in ("submit", "start", "end", "eligible")}
            lengths = {"elapsed": clock(job["elapsedraw"]), "timelimit": "1-00:00:00", "ncpus": 8}
            known = {**job, **moments, **lengths, "reqmem": "64G"}
            out.write(";|;".join(str(known.get(name.lower(), "")) for name in columns) + "\n")
    return path


def iso(moment: object) -> str:
    """Return a time as sacct prints it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(str(moment))))


def clock(seconds: object) -> str:
    """Return a duration as sacct prints it."""
    hours, rest = divmod(int(str(seconds)), 3600)
    return f"{hours:02}:{rest // 60:02}:{rest % 60:02}"


def measure(what: str, rows: Path) -> dict[str, float]:
    """Run one of our functions in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--worker", what, "--file", str(rows)], check=True, capture_output=True
    )
    return json.loads(done.stdout)


def measure_peer(python: Path, rows: Path) -> dict[str, float]:
    """Run slurm2sql in a process of its own."""
    done = subprocess.run(
        [python, "-c", PEER, "ingest", rows, fresh(WORK / "slurm2sql.db")], check=True, capture_output=True
    )
    return json.loads(done.stdout)


def medians(figures: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median([one[name] for one in figures]) for name in figures[0]}


def speed(figures: dict[str, dict[str, float]], name: str, times: str) -> float:
    """Return rows in a second."""
    return figures[name]["rows"] / figures[name][times]


def worker(what: str, rows: Path) -> None:
    """Do one of the measured things and print what it took."""
    database = fresh(WORK / f"{what}.db")
    wall, cpu = time.perf_counter(), time.process_time()
    count = {"ours": ours, "again": again, "bare": bare}[what](rows, database)
    print(
        json.dumps(
            {
                "rows": count,
                "wall_s": time.perf_counter() - wall,
                "cpu_s": time.process_time() - cpu,
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def again(rows: Path, database: Path) -> int:  # noqa: ARG001
    """Ingest what the ledger of the run before knows already."""
    return ours(rows, WORK / "ours.db")


def main() -> None:
    """Measure everything in one run and write the figures and ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--peer-rows", type=int, default=50_000)
    options.add_argument("--memory-rows", type=int, default=3_000_000)
    options.add_argument("--worker")
    options.add_argument("--file", type=Path)
    chosen = options.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if chosen.worker:
        worker(chosen.worker, chosen.file)
        return
    rows = write_rows(WORK / f"rows-{chosen.rows}.txt", chosen.rows)
    python = peer_python()
    theirs = peer_rows(python, WORK / "slurm2sql.txt", chosen.peer_rows)
    rounds = [
        {
            "bare": measure("bare", rows),
            "ours": measure("ours", rows),
            "slurm2sql": measure_peer(python, theirs),
        }
        for _ in range(chosen.rounds)
    ]
    figures = {name: medians([one[name] for one in rounds]) for name in rounds[0]}
    figures["again"] = measure("again", rows)
    if chosen.memory_rows:
        figures["ours_long"] = measure(
            "ours", write_rows(WORK / f"rows-{chosen.memory_rows}.txt", chosen.memory_rows)
        )
    result = {
        "benchmark": "ledger_ingest",
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rounds": rounds,
        "figures": figures,
        "rows_per_s": {name: figure["rows"] / figure["wall_s"] for name, figure in figures.items()},
        "ratios": {
            f"ours_to_{peer}{suffix}": median(
                [speed(one, "ours", times) / speed(one, name, times) for one in rounds]
            )
            for peer, name in (("slurm2sql", "slurm2sql"), ("bare_upsert", "bare"))
            for suffix, times in (("", "wall_s"), ("_cpu", "cpu_s"))
        },
    }
    (ROOT / "build" / "bench" / "ledger_ingest.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
