"""Rows into the ledger: once each, the newest version of a run, in any order."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from ledger_kit import NOON, Books, row
from mlcost_accounting.ledger.store import open_ledger, read_ledger

from mlcost_hpc.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_run_is_charged_for_what_it_held(books: Books) -> None:
    """Two GPU hours at 2 and eight CPU hours at 0.1 cost 4.80."""
    books.take(row())
    assert books.cost() == 4_800_000


def test_the_same_rows_again_change_nothing(books: Books) -> None:
    """A second ingest of the same answer knows every run and leaves all sums."""
    books.take(row(), row(DBIndex=2, JobID=101, JobIDRaw=101))
    again = books.take(row(), row(DBIndex=2, JobID=101, JobIDRaw=101))
    assert (again.intake.counts.new, again.intake.counts.changed, again.intake.counts.known) == (0, 0, 2)
    assert books.cost() == 2 * 4_800_000


def test_a_running_job_is_charged_so_far_and_then_wholly(books: Books) -> None:
    """The row of the ended run takes the place of the running one, charge included."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=1800), seen=NOON + 1800)
    assert books.cost() == 2_400_000
    books.take(row(), seen=NOON + 7200)
    assert books.cost() == 4_800_000
    assert len(books.charges()) == 1


def test_an_older_answer_does_not_undo_a_newer_one(books: Books) -> None:
    """A saved answer in which the run still ran changes nothing once it ended."""
    books.take(row(), seen=NOON + 7200)
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=1800), seen=NOON + 1800)
    assert books.cost() == 4_800_000


def test_both_runs_of_a_requeued_job_are_kept(books: Books) -> None:
    """A preempted run and the one after it have different keys and are charged each."""
    books.take(
        row(State="PREEMPTED", End=NOON + 1800, ElapsedRaw=1800),
        row(DBIndex=2, Submit=NOON + 1800, Start=NOON + 2000, End=NOON + 5600),
    )
    assert [charge["cost"] for charge in books.charges()] == [2_400_000, 4_800_000]


def test_two_versions_in_one_answer_leave_one_run(books: Books) -> None:
    """The ended version holds, whichever line comes first."""
    open_row = row(State="RUNNING", End="Unknown", ElapsedRaw=10)
    books.take(row(), open_row)
    assert books.cost() == 4_800_000
    assert len(books.charges()) == 1


def test_a_db_index_above_2_to_63_is_kept_whole(books: Books) -> None:
    """Slurm's newer indexes do not fit SQLite's integers; they are text."""
    books.take(row(DBIndex=12670464425943961600))
    assert books.ledger.rows("SELECT db_index FROM runs") == [{"db_index": "12670464425943961600"}]


def test_a_piece_that_is_no_row_is_kept_and_counted(books: Books) -> None:
    """A login banner is a reject; the rows around it are read."""
    taker = books.take("*** authorised use only ***", row())
    assert taker.intake.rejects == 1
    assert books.ledger.rows("SELECT why FROM rejects") == [{"why": "not a row of the answer"}]
    assert books.cost() == 4_800_000


def test_raw_rows_are_kept_until_a_newer_version_takes_their_place(books: Books) -> None:
    """A block whose rows were all replaced is dropped; the one in use stays."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=10), seen=NOON + 10)
    books.take(row(), seen=NOON + 7200)
    books.take(row(), seen=NOON + 9000)
    assert books.ledger.rows("SELECT id, used FROM raw_blocks") == [
        {"id": books.ledger.rows("SELECT raw_block FROM runs")[0]["raw_block"], "used": 1}
    ]


def test_only_the_owner_may_read_a_ledger(make_books: Callable[..., Books]) -> None:
    """The file and SQLite's files beside it have mode 0600."""
    books = make_books()
    books.take(row())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in books.ledger.path.parent.glob("ledger-0.db*")]
    assert set(modes) == {0o600}


def test_a_ledger_keeps_its_time_zone(tmp_path: Path) -> None:
    """Days cut in one zone cannot be gone on with in another."""
    open_ledger(tmp_path / "ledger.db", ZoneInfo("UTC")).close()
    with pytest.raises(LedgerError, match="keeps its time zone"):
        open_ledger(tmp_path / "ledger.db", ZoneInfo("Europe/Paris"))


def test_a_missing_ledger_is_said_to_be_missing(tmp_path: Path) -> None:
    """Reading names the file and the command that makes one."""
    with pytest.raises(LedgerError, match="mlcost ingest"):
        read_ledger(tmp_path / "none.db")


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Something else under the ledger's name is not written to."""
    (tmp_path / "ledger.db").write_text("not a database, but long enough to look like something" * 20)
    with pytest.raises(LedgerError):
        open_ledger(tmp_path / "ledger.db", ZoneInfo("UTC"))
