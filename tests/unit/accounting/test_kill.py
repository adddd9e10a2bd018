"""An ingest that is killed at any moment loses and doubles nothing."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

from ledger_kit import LAYOUT, NOON, SEPARATOR, UTC, row
from mlcost_accounting.digest import digest
from mlcost_accounting.ledger.store import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 60_000
RATES = 'currency = "USD"\n[[card]]\nvalid_from = 2020-01-01\ncpu_hour = 0.1\ngpu_hour = { a100-40gb = 2 }\n'


def command(folder: Path, name: str) -> list[str]:
    return [
        sys.executable, "-m", "mlcost_hpc.cli.main", "ingest", "--from-file", str(folder / "rows"),
        "--fields", ",".join(LAYOUT.names), "--delimiter", SEPARATOR, "--rates", str(folder / "rates.toml"),
        "--ledger", str(folder / name),
    ]  # fmt: skip


def runs_in(path: Path) -> int:
    """Return how many runs a ledger has that another process writes; 0 before it is there."""
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def contents_of(path: Path) -> str:
    with open_ledger(path, UTC) as ledger:
        ledger.refresh()
        return digest(ledger)


def test_killed_ingests_end_like_an_undisturbed_one(tmp_path: Path) -> None:
    """Killed with SIGKILL three times, each time further on, then let through: the same ledger."""
    (tmp_path / "rates.toml").write_text(RATES)
    lines = (
        row(JobID=n, JobIDRaw=n, DBIndex=n, Submit=NOON + n, Start=NOON + n * 3, End=NOON + n * 3 + 3600)
        for n in range(1, ROWS + 1)
    )
    (tmp_path / "rows").write_text("".join(f"{line}\n" for line in lines))
    for least in (1, ROWS // 4, ROWS // 2):
        victim = subprocess.Popen(command(tmp_path, "killed.db"))
        while runs_in(tmp_path / "killed.db") < least and victim.poll() is None:
            pass
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    for name in ("killed.db", "whole.db"):
        subprocess.run(command(tmp_path, name), check=True, capture_output=True)
    assert runs_in(tmp_path / "killed.db") == ROWS
    assert contents_of(tmp_path / "killed.db") == contents_of(tmp_path / "whole.db")
