"""Budget overrides: what a comment says, and what the ledger keeps of it from accounting and queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import NOON, Books, make_kinds, row
from mlcost_accounting.ledger.override_book import keep_overrides_of_jobs, overridden_jobs
from mlcost_accounting.ledger.store import open_ledger, read_ledger

from mlcost_hpc.cli.main import main
from mlcost_hpc.overrides import Override, override_comment, parse_override
from mlcost_hpc.slurm.api import Job

if TYPE_CHECKING:
    from pathlib import Path

TOLD = Override(("nlp-month",), ("12.50 EUR",), "ana", "paper due on Friday")
COMMENT = override_comment(TOLD)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """An empty ledger."""
    return Books(tmp_path / "ledger.db", make_kinds())


def test_a_comment_is_read_as_it_was_written() -> None:
    """Beside a user's own words, before or after it, and without the amounts that older ones lack."""
    assert COMMENT == "budget_override=nlp-month over=12.50EUR by=ana because paper due on Friday"
    assert parse_override(COMMENT) == TOLD
    assert parse_override(f"tag=paper {COMMENT}") == TOLD
    older = parse_override("budget_override=a,b by=ben because x")
    assert older == Override(("a", "b"), (), "ben", "x")
    assert parse_override("budget_override= nothing") is None
    assert parse_override("") is None


@given(names=st.lists(st.text(min_size=1), min_size=1, max_size=3), reason=st.text(min_size=1))
def test_no_name_or_reason_breaks_the_words(names: list[str], reason: str) -> None:
    """Whatever a budget is called and a user gives as reason, one line of plain characters comes of it."""
    words = override_comment(Override(tuple(names), ("1,234.50 EUR",), "ana", reason))
    assert words.isprintable()
    assert not set(words) & set("\"'|\\$`<>&")
    told = parse_override(words)
    assert told is not None
    assert (told.user, told.over) == ("ana", ("1234.50 EUR",))


def test_the_ledger_keeps_one_record_of_a_job_however_often_it_runs(books: Books) -> None:
    """A requeued job and all tasks of an array are one submission each, submitted when first."""
    again = {"Submit": NOON + 9000, "Start": NOON + 9100, "End": NOON + 9200, "ElapsedRaw": 100}
    rows = [
        row(JobID=7, JobIDRaw=7, DBIndex=1, Comment=COMMENT, State="PREEMPTED"),
        row(JobID=7, JobIDRaw=7, DBIndex=2, Comment=COMMENT, **again),
        *(
            row(JobID=f"9_{task}", JobIDRaw=10 + task, DBIndex=10 + task, Comment=COMMENT)
            for task in range(3)
        ),
        row(JobID=20, JobIDRaw=20, DBIndex=20, Comment="tag=x"),
    ]
    for order in (rows, rows[::-1]):
        books.take(*order)
        found = overridden_jobs(books.ledger)
        assert [(job.job, job.submitted, job.seen_as) for job in found] == [
            ("7", NOON - 60, "7"),
            ("9", NOON - 60, "9_0"),
        ]
        assert {job.told for job in found} == {TOLD}


def test_the_queue_tells_before_the_accounting_does(books: Books) -> None:
    """A waiting job is there without a run; that its comment is emptied later takes nothing away."""
    job = Job(job_id="9_4", raw_job_id="9", user="ana", account="nlp", submitted=NOON - 60, comment=COMMENT)
    keep_overrides_of_jobs(books.ledger, "alpha", [job, Job(job_id="8", raw_job_id="8", comment="mine")])
    (found,) = overridden_jobs(books.ledger)
    assert (found.job, found.user, found.account, found.seen_as) == ("9", "ana", "nlp", "")
    books.take(row(JobID="9_4", JobIDRaw=9, Comment=""))
    (found,) = overridden_jobs(books.ledger)
    assert (found.told, found.seen_as) == (TOLD, "9_4")


def test_a_ledger_of_an_older_version_has_none(tmp_path: Path) -> None:
    """Pages read it before anybody brings it up to date."""
    path = tmp_path / "ledger.db"
    with open_ledger(path, ZoneInfo("UTC")) as ledger:
        ledger.db.execute("DROP TABLE budget_overrides")
    with read_ledger(path) as ledger:
        assert overridden_jobs(ledger) == []


def test_the_command_lists_them(books: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who, which job, when, by how much and why, for people and for programs."""
    books.take(row(JobID=7, JobIDRaw=7, Comment=COMMENT))
    books.ledger.close()
    argv = ["budget", "overrides", "--ledger", str(tmp_path / "ledger.db")]
    with pytest.raises(SystemExit):
        main([*argv, "--format", "json"])
    assert json.loads(capsys.readouterr().out) == [
        {
            "submitted": "2026-01-01T11:59:00Z", "cluster": "alpha", "job": "7", "user": "ana",
            "account": "nlp", "budgets": "nlp-month", "over": "12.50 EUR", "reason": "paper due on Friday",
        }
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        main(argv)
    assert "12.50 EUR" in capsys.readouterr().out
