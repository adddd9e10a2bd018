"""What steps used: from sacct's text to the ledger; no data is not zero."""

from __future__ import annotations

from ledger_kit import NOON, Books, row
from mlcost_accounting.ledger.efficiency import keep_use, runs_without_use

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
