"""An ingest that is killed at any moment loses and doubles nothing."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from ledger_kit import LAYOUT, NOON, SEPARATOR, UTC, row
from mlcost_accounting.digest import digest
from mlcost_accounting.ledger.store import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 50_000
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float, str]:
    """Return a folder with rows and prices, the seconds that their ingest takes, and the ledger's digest."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rates.toml").write_text(RATES)
    lines = (
        row(JobID=n, JobIDRaw=n, DBIndex=n, Submit=NOON + n, Start=NOON + n * 3, End=NOON + n * 3 + 3600)
        for n in range(1, ROWS + 1)
    )
    (folder / "rows").write_text("".join(f"{line}\n" for line in lines))
    began = time.monotonic()
    subprocess.run(command(folder, "whole.db"), check=True, capture_output=True)
    return folder, time.monotonic() - began, contents_of(folder / "whole.db")


def test_killed_ingests_end_like_an_undisturbed_one(undisturbed: tuple[Path, float, str]) -> None:
    """Killed with SIGKILL three times, each time further on, then let through: the same ledger."""
    folder, _, whole = undisturbed
    for least in (1, ROWS // 4, ROWS // 2):
        victim = subprocess.Popen(command(folder, "killed.db"))
        while runs_in(folder / "killed.db") < least and victim.poll() is None:
            time.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    subprocess.run(command(folder, "killed.db"), check=True, capture_output=True)
    assert runs_in(folder / "killed.db") == ROWS
    assert contents_of(folder / "killed.db") == whole


def test_ctrl_c_and_kill_at_random_moments_lose_and_double_nothing(
    undisturbed: tuple[Path, float, str],
) -> None:
    """Stopped at moments drawn from the whole length of an ingest, its start included, then let through."""
    folder, length, whole = undisturbed
    moments = [random.uniform(0, length) for _ in range(4)]
    for number, moment in enumerate(moments):
        victim = subprocess.Popen(command(folder, "stopped.db"), stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            victim.wait(timeout=moment)
        victim.send_signal(signal.SIGINT if number % 2 else signal.SIGKILL)
        victim.wait()
    subprocess.run(command(folder, "stopped.db"), check=True, capture_output=True)
    assert contents_of(folder / "stopped.db") == whole, moments
