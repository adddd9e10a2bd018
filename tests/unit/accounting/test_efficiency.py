"""What steps used: from sacct's text to the ledger; no data is not zero."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import NOON, Books, row
from mlcost_accounting.efficiency import Efficiency, Use
from mlcost_accounting.ledger.efficiency import keep_use, runs_without_use

from mlcost_hpc.cli.main import cli
from mlcost_hpc.errors import UsageError
from mlcost_hpc.slurm.steps import parse_steps, parse_usage

USED = "cpu=00:56:24,energy=0,fs/disk=12,gres/gpumem=40777023488,gres/gpuutil=170,mem=2147483648,pages=0"


def steps(*rows: tuple[str, int, str]) -> str:
    return "".join(f"{job}|{submit}|{used}|alpha\n" for job, submit, used in rows)


def test_t22_usage_in_its_own_units() -> None:
    """CPU is a duration, memory bytes or letters, GPU utilisation may exceed 100 over several GPUs."""
    assert parse_usage(USED) == {"cpu": 3_384_000, "mem": 2**31, "gpu": 170}
    assert parse_usage("cpu=01:02.500,mem=2G") == {"cpu": 62_500, "mem": 2**31}
    assert parse_usage("cpu=nan,mem=,gres/gpuutil=inf") == {}


def test_t7_steps_add_up_to_their_run() -> None:
    """CPU time is the sum of all steps, memory that of the largest; the job's own row counts for nothing."""
    text = steps(
        ("100", NOON, ""),
        ("100.batch", NOON, "cpu=00:00:10,mem=1000"),
        ("100.0", NOON, "cpu=00:01:00,mem=5000,gres/gpuutil=0"),
        ("100.0", NOON + 99, "cpu=00:00:07,mem=10"),
    )
    first, second = parse_steps(text, "|")
    assert (first.cpu_ms, first.memory, first.gpu_percent) == (70_000, 5000, None)
    assert (second.submitted, second.cpu_ms) == (NOON + 99, 7000)


def test_each_finished_run_is_asked_for_once(books: Books) -> None:
    """A run without steps is noted as not measured, and nobody asks again."""
    books.take(row(), row(DBIndex=2, Submit=NOON + 9), row(DBIndex=3, Submit=NOON + 99, State="RUNNING"))
    asked = runs_without_use(books.ledger, "alpha", 10)
    assert len(asked) == 2
    assert keep_use(books.ledger, asked, parse_steps(steps(("100.0", NOON - 60, USED)), "|")) == 1
    assert runs_without_use(books.ledger, "alpha", 10) == []
    assert books.ledger.rows("SELECT cpu_used_ms, why FROM efficiency ORDER BY run_id") == [
        {"cpu_used_ms": 3_384_000, "why": ""},
        {"cpu_used_ms": None, "why": "not measured"},
    ]


def use(**changes: int | str | None) -> Use:
    fields: dict[str, Any] = {
        "elapsed_s": 100, "allocated": "cpu=4,mem=4096M,gres/gpu=2,node=1", "cpu_ms": None, "memory": None,
        "gpu_percent": None,
    }  # fmt: skip
    return Use(**(fields | changes))


def shares(*uses: Use) -> tuple[float | None, ...]:
    found = Efficiency()
    for one in uses:
        found.add(one)
    return tuple(found.share(name) for name in ("cpu", "memory", "gpu"))


def test_no_figure_is_not_zero() -> None:
    """A run nobody measured does not pull the others down."""
    assert shares(use(), use(cpu_ms=200_000)) == (0.5, None, None)
    assert shares(use()) == (None, None, None)


def test_runs_weigh_by_what_they_held_and_how_long() -> None:
    """A long idle job counts more than a short busy one; 170 % of two GPUs is 85 %."""
    assert shares(use(cpu_ms=400_000), use(elapsed_s=300, cpu_ms=0)) == (0.25, None, None)
    assert shares(use(gpu_percent=170, memory=2**31)) == (None, 0.5, 0.85)


def test_more_used_than_held_is_left_out_and_named() -> None:
    """1593 % is a broken source; a few per cent above is the sampling and counts as all."""
    found = Efficiency()
    for one in (use(cpu_ms=6_372_000), use(cpu_ms=200_000), use(gpu_percent=500)):
        found.add(one)
    assert found.share("cpu") == 0.5
    assert (found.runs, found.measured) == (3, 1)
    assert found.doubts == "cpu above 100 % in 1 runs, gpu above 100 % in 1 runs"
    assert shares(use(cpu_ms=416_000)) == (1.0, None, None)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(0, 10**12), st.integers(0, 2**50), st.integers(0, 900))
    )
)
def test_no_share_is_ever_above_one(runs: list[tuple[int, int, int, int]]) -> None:
    """Whatever sources say."""
    found = shares(*(use(elapsed_s=s, cpu_ms=c, memory=m, gpu_percent=g) for s, c, m, g in runs))
    assert all(share is None or 0 <= share <= 1 for share in found)


def test_the_command_shows_groups(books: Books) -> None:
    """One row a user, with what was measured; an unknown group is refused."""
    books.take(row(), row(DBIndex=2, Submit=NOON + 9, User="ben"))
    asked = runs_without_use(books.ledger, "alpha", 10)
    keep_use(books.ledger, asked, parse_steps(steps(("100.0", NOON - 60, USED)), "|"))
    words = ["efficiency", "--period", "2026-01", "--ledger", str(books.ledger.path), "--format", "csv"]
    said = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert said.splitlines() == [
        "account,user,runs,measured,cpu,memory,gpu,doubts",
        "nlp,ana,1,1,11.8,3.1,85.0,",
        "nlp,ben,1,0,,,,",
    ]
    with pytest.raises(UsageError, match="cannot group by day"):
        CliRunner().invoke(cli, [*words, "--by", "day"], catch_exceptions=False)
