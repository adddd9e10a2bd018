"""Traps of asking sacct and Slurm's sums: raw text, what is made of it, and what is charged (T8 to T33).

Those of single rows are in ``test_traps.py``, those of JSON (T29) in ``test_savedfiles.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ledger_kit import LAYOUT, NOON, Books, row
from mlcost_accounting.collect import DAY_S, Collector
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.capacity_book import keep_reservations
from mlcost_accounting.ledger.efficiency import keep_use, runs_without_use
from mlcost_accounting.reconcile import Limits, compare

from mlcost_hpc.cli.collecting import check_private_data
from mlcost_hpc.errors import SlurmCommandError, SlurmDownError, UsageError
from mlcost_hpc.slurm.api import Version
from mlcost_hpc.slurm.cluster_settings import ClusterSettings
from mlcost_hpc.slurm.decay import UsageDecay
from mlcost_hpc.slurm.node_times import Reservation
from mlcost_hpc.slurm.process import failure_of, run
from mlcost_hpc.slurm.sacct_source import SacctSource, SacctText
from mlcost_hpc.slurm.steps import parse_steps
from mlcost_hpc.slurm.usage_reports import parse_sreport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HOUR_COST = 4_800_000
TODAY = NOON - NOON % DAY_S

# A job of ten days: sacct gives only the steps that overlap its window.
WHOLE_JOB = f"""\
100|{NOON}||alpha
100.batch|{NOON}|cpu=10-00:00:00,mem=1G|alpha
100.0|{NOON}|cpu=30-00:00:00,mem=8G|alpha
100.1|{NOON}|cpu=40-00:00:00,mem=8G|alpha
"""
YESTERDAY_ONLY = f"""\
100|{NOON}||alpha
100.1|{NOON}|cpu=40-00:00:00,mem=8G|alpha
"""


def test_t8_what_steps_used_is_asked_for_since_the_submission(
    script: Callable[[str, str], Path], tmp_path: Path, books: Books
) -> None:
    """A window of a day would show half of the CPU time; by id since the submission all steps are there."""
    (tmp_path / "all").write_text(WHOLE_JOB)
    (tmp_path / "clipped").write_text(YESTERDAY_ONLY)
    script(
        "sacct",
        f"""for word; do case $word in
            --starttime=*) since=${{word#--starttime=uts}};;
            --delimiter=*) mark=${{word#--delimiter=}};;
            --endtime=*) exit 9;;
        esac; done
        if [ "$since" -le {NOON} ]; then file={tmp_path}/all; else file={tmp_path}/clipped; fi
        while IFS='|' read -r a b c d; do echo "$a$mark$b$mark$c$mark$d"; done < $file""",
    )
    books.take(row(Submit=NOON, Start=NOON, End=NOON + 10 * DAY_S, ElapsedRaw=10 * DAY_S, TimelimitRaw=""))
    (finished,) = runs_without_use(books.ledger, "alpha", 10)
    uses = SacctSource(timeout_s=10).steps([finished["raw_job_id"]], finished["submitted"])
    assert keep_use(books.ledger, [finished], uses) == 1
    assert books.ledger.rows("SELECT cpu_used_ms FROM efficiency") == [{"cpu_used_ms": 80 * DAY_S * 1000}]
    assert parse_steps(YESTERDAY_ONLY, "|")[0].cpu_ms == 40 * DAY_S * 1000
    assert books.cost() == 240 * HOUR_COST  # the charge never depends on what steps used


class Refusing:
    """sacct that refuses long windows, one call at a time."""

    def __init__(self, longest: int, stderr: str) -> None:
        self.longest = longest
        self.stderr = stderr
        self.windows: list[tuple[int, int]] = []
        self.at_work = 0

    def window(self, start: int, end: int) -> SacctText:
        self.windows.append((start, end))
        assert self.at_work == 0, "a second call while one is running"
        if end - start > self.longest:
            error = failure_of(["sacct"], 1, "", self.stderr)
            assert error is not None
            raise error
        return SacctText(text=f"{row()}\n", layout=LAYOUT)

    def jobs(self, job_ids: Sequence[str], since: int) -> SacctText:
        raise AssertionError((job_ids, since))


@pytest.mark.parametrize(
    "stderr",
    [
        "sacct: error: slurmdbd: Query result exceeds size limit",
        "sacct: error: slurmdbd: Maximum query time range exceeded",
    ],
)
def test_t27_an_answer_that_is_too_large_is_asked_for_in_halves(books: Books, stderr: str) -> None:
    """Days first, then halves until slurmdbd answers: all the time once, each run charged once."""
    source = Refusing(DAY_S // 4, stderr)
    taker = Ingest(books.ledger, books.kinds)
    Collector(source, "alpha", taker, books.ledger, clock=lambda: TODAY + 2 * DAY_S).collect(TODAY - DAY_S)
    books.ledger.refresh()
    answered = sorted(window for window in source.windows if window[1] - window[0] <= source.longest)
    assert [end for _, end in answered[:-1]] == [start for start, _ in answered[1:]]
    assert (answered[0][0], answered[-1][1]) == (TODAY - DAY_S, TODAY + 2 * DAY_S)
    assert max(end - start for start, end in source.windows) == DAY_S
    assert (len(answered), books.cost()) == (12, HOUR_COST)


def settings(*private: str) -> ClusterSettings:
    return ClusterSettings(
        cluster="alpha", version=Version(major=22, minor=5, patch=8), private_data=frozenset(private)
    )


def test_t31_a_user_who_sees_only_his_own_jobs_is_refused(
    script: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PrivateData=jobs sacct says nothing of others' jobs, so a ledger would silently lack them."""
    private = settings("jobs")
    monkeypatch.setenv("LOGNAME", "ana")
    monkeypatch.setattr(os, "getuid", lambda: 1001)
    script("sacctmgr", "echo None")
    with pytest.raises(UsageError, match="AdminLevel=Operator"):
        check_private_data(private, 10)
    script("sacctmgr", "echo Operator")
    check_private_data(private, 10)
    script("sacctmgr", "exit 1")
    check_private_data(settings(), 10)
    monkeypatch.setattr(os, "getuid", lambda: 0)  # root sees every job
    script("sacctmgr", "echo None")
    check_private_data(private, 10)


COMPLAINTS = [
    ('sacct: error: Invalid field requested: "Foo"', SlurmCommandError),
    ("sacct: error: Sending PersistInit msg: Connection refused", SlurmDownError),
]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(("stderr", "kind"), COMPLAINTS)
def test_t32_nothing_but_a_complaint_is_a_failure_whatever_the_exit_code(
    script: Callable[[str, str], Path], tmp_path: Path, code: int, stderr: str, kind: type[Exception]
) -> None:
    """Before 23.11 sacct ended with 0 on errors: an empty answer with words on stderr is not "no jobs"."""
    (tmp_path / "said").write_text(stderr)
    script("sacct", f"cat {tmp_path}/said >&2; exit {code}")
    with pytest.raises(kind):
        run(["sacct"], timeout_s=10)


def test_t32_an_empty_answer_without_a_complaint_is_no_jobs(script: Callable[[str, str], Path]) -> None:
    """A quiet day is no failure."""
    script("sacct", "exit 0")
    assert run(["sacct"], timeout_s=10).stdout == ""


SREPORT_NLP = """\
nlp||cpu|28800
nlp|ana|cpu|28800
nlp|ana|gres/gpu|7200
"""


NO_LIMITS = Limits(counted={}, decay=UsageDecay(), factors={}, asked=NOON + 3600)
"""A controller that counts nothing against limits."""


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"State": "PREEMPTED"}, "requeued"),
        ({"Suspended": "00:30:00", "ElapsedRaw": 1800}, "suspended"),
        ({"State": "RUNNING", "End": "Unknown"}, "still open"),
    ],
)
def test_t33_each_difference_between_the_totals_is_named(
    books: Books, extra: dict[str, object], words: str
) -> None:
    """Ledger and sreport differ by one more run; what kind of run it is, is said with its size."""
    books.take(row(), row(DBIndex=2, Submit=NOON - 3600, **extra), seen=NOON + 3600)
    found = compare(books.ledger, "alpha", NOON, NOON + 3600, parse_sreport(SREPORT_NLP), NO_LIMITS)
    differing = [line for line in found if line.difference_s]
    assert differing
    assert all(words in " ".join(line.reasons) for line in differing)


def test_t33_unused_time_of_a_reservation_is_named(books: Books) -> None:
    """Sreport books it on the users who may use the reservation, here an hour of eight CPUs."""
    books.take(row())
    reservation = Reservation(
        number=1, started=NOON, ended=NOON + 3600, name="school", nodes=("a100-2",), cpus=8,
        associations=(9,), maintenance=False,
    )  # fmt: skip
    keep_reservations(books.ledger, "alpha", [reservation], {9: "nlp"}, str, NOON + 7200)
    sreport = parse_sreport("nlp|ana|cpu|57600\nnlp|ana|gres/gpu|7200\n")
    cpu, gpu = compare(books.ledger, "alpha", NOON, NOON + 3600, sreport, NO_LIMITS)
    assert (cpu.difference_s, gpu.difference_s) == (-28800, 0)
    assert "reservations" in cpu.reasons[0]
    assert "28800 s" in cpu.reasons[0]
