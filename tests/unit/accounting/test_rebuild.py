"""Runs and charges again from the raw rows: the same ledger, byte for byte."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from ledger_kit import LAYOUT, NOON, Books, make_kinds, row
from mlcost_accounting.digest import digest
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.closing import close_period
from mlcost_accounting.ledger.rebuild import look, rebuild
from mlcost_accounting.ledger.store import open_ledger
from mlcost_accounting.projects import ProjectMap, ProjectRule

from mlcost_hpc.cli.main import cli
from mlcost_hpc.slurm.parse_runs import parse_runs
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = Path(__file__).parents[2] / "records"
PARIS = ZoneInfo("Europe/Paris")
HOSTILE = ("=1+1", "a|b\nc", "x\n" * 3, "\x00", "é" * 50, "train", "a\x1fb")
STATES = ("COMPLETED", "PREEMPTED", "RUNNING", "PENDING", "CANCELLED by 7", "NODE_FAIL")
HELD = ("cpu=8,node=1", "cpu=8,gres/gpu:a100=2,node=1")
TABLES = ("runs", "charges", "problems", "daily")


def fill(books: Books, rows: int = 400) -> None:
    """Take rows of all sorts in several portions: requeued, running, suspended, long and replaced ones."""
    chance = random.Random(7)
    for portion in range(4):
        lines = []
        for number in range(rows // 4):
            start = NOON + chance.randint(0, 20 * 86400)
            elapsed = chance.choice([0, 60, 3600, 3 * 86400])
            state = chance.choice(STATES)
            never = state == "PENDING"
            lines.append(
                row(
                    JobID=number, JobIDRaw=number, DBIndex=10**19 + number, Submit=NOON - 5, State=state,
                    Start="Unknown" if never else start,
                    End=start + elapsed if state not in ("PENDING", "RUNNING") else "Unknown",
                    ElapsedRaw=0 if never else elapsed, Suspended=chance.choice(["00:00:00", "01:00:00"]),
                    AllocTRES="" if never else chance.choice(HELD),
                    JobName=chance.choice(HOSTILE).replace("\x1f", " ").replace("\x00", " "),
                )
            )  # fmt: skip
        books.take(*lines, seen=NOON + portion * 86400)
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=86400), seen=NOON + 86400)  # a runaway


def everything(books: Books) -> list[list[tuple[object, ...]]]:
    return [books.ledger.db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]


def test_a_sound_ledger_is_rebuilt_to_itself(books: Books) -> None:
    """Not one byte of the tables changes, and nothing is reported."""
    fill(books)
    before, sum_before = everything(books), digest(books.ledger)
    for work in (look, rebuild):
        found = work(books.ledger, books.kinds)
        assert (found.runs, found.facts, found.charges, found.restored) == (101, 0, 0, 0)
        assert found.unreadable == []
    assert everything(books) == before
    assert digest(books.ledger) == sum_before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET elapsed_s = elapsed_s + 100, name = 'x' WHERE id % 3 = 0",
        "UPDATE runs SET started = NULL, ended = NULL",
        "UPDATE runs SET db_index = db_index || '9' WHERE id % 5 = 0",
        "UPDATE charges SET cost = cost + 1 WHERE run_id % 2 = 0",
        "DELETE FROM charges WHERE run_id % 4 = 0",
        "DELETE FROM problems",
        "UPDATE runs SET dim_id = 1, allocation_id = 1",
    ],
)
def test_damage_to_runs_and_charges_is_undone(books: Books, damage: str) -> None:
    """A look names it and changes nothing; the rebuilt ledger is the original, byte for byte."""
    fill(books)
    before, sum_before = everything(books), digest(books.ledger)
    books.ledger.db.execute(damage)
    damaged = everything(books)
    seen = look(books.ledger, books.kinds)
    assert seen.facts + seen.charges
    assert everything(books) == damaged
    done = rebuild(books.ledger, books.kinds)
    assert (done.facts, done.charges) == (seen.facts, seen.charges)
    assert everything(books)[:3] == before[:3]
    assert digest(books.ledger) == sum_before


def test_runs_that_are_missing_come_back(books: Books) -> None:
    """Deleted runs are read from their raw rows, in their newest version only."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=60), row(DBIndex=2, JobID=101), seen=NOON + 60)
    books.take(row(), row(DBIndex=3, JobID=102, ElapsedRaw=60), seen=NOON + 9000)
    before = digest(books.ledger)
    books.ledger.db.execute("DELETE FROM charges WHERE run_id IN (SELECT id FROM runs WHERE job_id = '102')")
    books.ledger.db.execute("DELETE FROM runs WHERE job_id = '102'")
    assert (look(books.ledger, books.kinds).restored, digest(books.ledger) == before) == (1, False)
    assert rebuild(books.ledger, books.kinds).restored == 1
    assert digest(books.ledger) == before
    assert rebuild(books.ledger, books.kinds).restored == 0


def test_saved_rows_keep_their_zone_and_cluster(books: Books) -> None:
    """Dates of Paris, a cluster named by option, a separator at the line's end: read again alike."""
    names = ("JobID", "State", "Submit", "Start", "End", "Elapsed", "AllocTRES", "JobName")
    start, end = "2026-10-25T02:30:00", "2026-10-25T02:10:00"
    line = f"100|COMPLETED|{start}|{start}|{end}|00:40:00|cpu=8,node=1|a|b|"
    layout = Layout.of(names, "|", trailing=True)
    books.take(line, line.replace("100", "101", 1), layout=layout, cluster="beta", zone=PARIS)
    before = everything(books)
    books.ledger.db.execute("UPDATE runs SET started = started - 3600")
    assert rebuild(books.ledger, books.kinds).facts == 2
    assert everything(books)[0] == before[0]


def test_records_of_a_backend_without_text_are_read_again(books: Books) -> None:
    """Runs that came as records are made of those."""
    answer = parse_runs(f"{row()}\n{row(DBIndex=2)}\n", "\x1f", tuple(_spelled(LAYOUT.names)))
    Ingest(books.ledger, books.kinds).answer(answer, cluster="alpha", seen=NOON + 9000)
    books.ledger.refresh()
    before = everything(books)
    books.ledger.db.execute("UPDATE runs SET elapsed_s = 1, reservation = 'x'")
    assert rebuild(books.ledger, books.kinds).facts == 2
    assert everything(books)[:3] == before[:3]


def _spelled(names: tuple[str, ...]) -> list[str]:
    from mlcost_hpc.slurm.commands import SACCT_FIELDS

    return [field for name in names for field in SACCT_FIELDS if field.lower() == name]


def test_closed_days_are_corrected_not_changed(books: Books) -> None:
    """A charge that was changed by hand after the close is set right on the first open day."""
    books.take(row())
    january = (date(2026, 1, 1), date(2026, 1, 31))
    close_period(books.ledger, "2026-01", *january, author="a", today=date(2026, 2, 2), now=1)
    books.ledger.db.execute("UPDATE charges SET cost = cost - 5")
    rebuild(books.ledger, books.kinds)
    assert [(c["day"], c["cost"]) for c in books.charges()] == [
        (date(2026, 1, 1).toordinal(), 4_799_995),
        (date(2026, 2, 1).toordinal(), 5),
    ]


def test_other_project_rules_reach_old_runs(make_books: Callable[..., Books]) -> None:
    """Rules that were made later find the project of runs that are in the ledger already."""
    books = make_books()
    books.take(row())
    rules = ProjectMap(project=(ProjectRule(name="speech", account=("nlp",)),))
    assert rebuild(books.ledger, make_kinds(projects=rules)).facts == 1
    assert books.ledger.rows("SELECT project FROM runs JOIN dims ON dims.id = dim_id") == [
        {"project": "speech"}
    ]


def test_a_damaged_block_is_named_and_the_others_are_done(books: Books) -> None:
    """One block that cannot be unpacked stops nothing."""
    books.take(row())
    books.take(row(DBIndex=2))
    books.ledger.db.execute("UPDATE raw_blocks SET data = x'00' WHERE id = 1")
    books.ledger.db.execute("UPDATE runs SET elapsed_s = 1")
    found = rebuild(books.ledger, books.kinds)
    assert (found.facts, len(found.unreadable)) == (1, 1)
    assert "block 1" in found.unreadable[0]


def test_the_command_looks_first(tmp_path: Path) -> None:
    """Without --write it only says what would change."""

    def run(*words: str) -> str:
        result = CliRunner().invoke(cli, [*words, "--ledger", str(tmp_path / "l.db")], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("ingest", "--from-file", str(RECORDS / "26.05" / "json" / "sacct.json"))
    before = run("ledger", "digest")
    with open_ledger(tmp_path / "l.db", ZoneInfo("UTC")) as opened:
        opened.db.execute("UPDATE runs SET node_count = 9 WHERE id < 4")
    assert "nothing was changed" in run("ledger", "rebuild")
    assert run("ledger", "digest") != before
    assert run("ledger", "rebuild", "--write").startswith("17 runs read again: 3 not as")
    assert run("ledger", "digest") == before
