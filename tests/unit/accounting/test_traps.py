"""What sacct prints in odd cases, as raw text, and what each is charged (T1 to T33 of our list of traps).

The plain job of these rows holds two A100 at 2 an hour and eight CPUs at 0.1: 4.80 an hour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from ledger_kit import LAYOUT, NOON, Books, row
from mlcost_accounting.ledger.cursor import open_jobs
from mlcost_accounting.ledger.lookup import find_runs, raw_row
from mlcost_accounting.reports import usage

from mlcost_hpc.errors import UsageError
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

PARIS = ZoneInfo("Europe/Paris")
HOUR_COST = 4_800_000
SAVED = Layout.of(
    ("JobID", "JobIDRaw", "User", "Account", "Partition", "State", "Submit", "Start", "End", "Elapsed",
     "AllocTRES", "NNodes", "JobName"),
    "|",
)  # fmt: skip


def saved(**changes: object) -> str:
    """Return a row of a saved file: dates instead of seconds, the name last, no DBIndex."""
    fields = {
        "JobID": 100, "JobIDRaw": 100, "User": "ana", "Account": "nlp", "Partition": "a100",
        "State": "COMPLETED", "Submit": "2026-01-01T11:59:00", "Start": "2026-01-01T12:00:00",
        "End": "2026-01-01T13:00:00", "Elapsed": "01:00:00",
        "AllocTRES": "cpu=8,gres/gpu:a100=2,node=1", "NNodes": 1, "JobName": "train",
    } | changes  # fmt: skip
    return "|".join(str(value) for value in fields.values())


def take_saved(books: Books, *rows: str, zone: ZoneInfo | None = None) -> None:
    books.take(*rows, layout=SAVED, cluster="alpha", zone=zone)


def states(books: Books) -> list[str]:
    return [
        found["state"] for found in books.ledger.rows("SELECT state FROM runs JOIN dims ON dims.id = dim_id")
    ]


def test_t1_both_runs_of_a_requeue_are_charged(books: Books) -> None:
    """An hour until preemption and two hours after it are three hours."""
    books.take(
        row(JobID=100, DBIndex=1, State="PREEMPTED", Submit=NOON - 7200, Start=NOON - 6900, End=NOON - 3300),
        row(JobID=100, DBIndex=2, Submit=NOON - 3300, Start=NOON, End=NOON + 7200, ElapsedRaw=7200),
    )
    assert books.cost() == 3 * HOUR_COST


def test_t2_each_part_of_a_resized_job_is_a_charge_of_its_own(books: Books) -> None:
    """Four nodes for an hour, then two for an hour, under one job id and submit time."""
    four, two = ("cpu=32,gres/gpu:a100=8,node=4", "cpu=16,gres/gpu:a100=4,node=2")
    books.take(
        row(JobID=200, DBIndex=1, State="RESIZING", AllocTRES=four),
        row(JobID=200, DBIndex=2, Start=NOON + 3600, End=NOON + 7200, AllocTRES=two),
    )
    assert books.cost() == 6 * HOUR_COST


def test_t2_resized_parts_are_kept_apart_without_dbindex(books: Books) -> None:
    """A saved file without DBIndex keeps the resized part and the rest as two runs."""
    take_saved(
        books,
        saved(State="RESIZING"),
        saved(Start="2026-01-01T13:00:00", End="2026-01-01T14:00:00"),
    )
    assert books.cost() == 2 * HOUR_COST


def test_t3_a_job_id_that_wrapped_is_two_jobs(books: Books) -> None:
    """The same number years apart is not one job."""
    old = NOON - 5 * 365 * 86400
    books.take(
        row(JobID=12728301, JobIDRaw=12728301, DBIndex=7, Submit=old, Start=old, End=old + 3600),
        row(JobID=12728301, JobIDRaw=12728301, DBIndex=8),
    )
    assert len(find_runs(books.ledger, "12728301")) == 2


def test_t4_the_key_does_not_trust_the_index_alone(books: Books) -> None:
    """Two rows of one SLUID with different submit times are two runs; above 2^63 nothing overflows."""
    index = 10394876543210987654
    books.take(
        row(DBIndex=index, State="REQUEUED", Submit=NOON - 7200, Start=NOON - 7200, End=NOON - 3600),
        row(DBIndex=index),
    )
    assert books.cost() == 2 * HOUR_COST


@pytest.mark.parametrize("job_id", ["300_[4-9%2]", "300_[0-20:4]", "300_[1,3,5-7]"])
@pytest.mark.parametrize("state", ["PENDING", "CANCELLED by 1001"])
def test_t5_array_tasks_that_never_started_cost_nothing(books: Books, job_id: str, state: str) -> None:
    """One row for many tasks is kept and is no charge."""
    books.take(
        row(JobID=job_id, JobIDRaw=300, State=state, Start="None", End="Unknown", ElapsedRaw=0, AllocTRES="")
    )
    assert (books.cost(), len(states(books))) == (0, 1)


def test_t5_tasks_are_found_under_their_array(books: Books) -> None:
    """Task 300_4 has raw id 312, and the array's number finds it."""
    books.take(
        row(JobID="300_4", JobIDRaw=312),
        row(JobID="300_5", JobIDRaw=300, DBIndex=2),
        row(JobID=3000, DBIndex=3),
    )
    assert [run["job_id"] for run in find_runs(books.ledger, "300")] == ["300_4", "300_5"]
    assert [run["job_id"] for run in find_runs(books.ledger, "300_4")] == ["300_4"]


def test_t6_both_components_of_a_heterogeneous_job_are_charged(books: Books) -> None:
    """Two allocations, each with what it held."""
    books.take(
        row(JobID="400+0", JobIDRaw=400),
        row(JobID="400+1", JobIDRaw=401, DBIndex=2, AllocTRES="cpu=8,node=1"),
    )
    assert books.cost() == HOUR_COST + 800_000
    assert len(find_runs(books.ledger, "400")) == 2


@pytest.mark.parametrize(
    "step", ["100.batch", "100.extern", "100.interactive", "100.0", "100.TBD", "100.0+1"]
)
def test_t7_steps_in_a_saved_file_are_passed_over(books: Books, step: str) -> None:
    """The allocation's row alone carries the charge; a step's empty user does not become a row."""
    take_saved(books, saved(), saved(JobID=step, JobIDRaw=step, User="", JobName="batch"))
    assert (books.cost(), len(states(books))) == (HOUR_COST, 1)


def test_t9_a_separator_in_a_name_stays_in_the_name(books: Books) -> None:
    """A job named `a|b` in a file with `|` between fields is one row."""
    take_saved(books, saved(JobName="a|b|COMPLETED"))
    assert books.ledger.rows("SELECT name FROM runs") == [{"name": "a|b|COMPLETED"}]
    assert books.cost() == HOUR_COST


def test_t10_a_new_line_in_a_name_does_not_break_rows(books: Books) -> None:
    """The row goes on until it has all its fields; the rows around it are read."""
    taker = books.take(row(), row(JobID=101, DBIndex=2, JobName="my\njob"), row(JobID=102, DBIndex=3))
    assert taker.intake.rejects == 0
    assert books.cost() == 3 * HOUR_COST


def test_t10_a_new_line_in_the_last_field_of_a_saved_file(books: Books) -> None:
    """A line without separators belongs to the name before it."""
    take_saved(books, saved(JobName="my\njob"), saved(JobID=101, JobIDRaw=101))
    assert [run["name"] for run in books.ledger.rows("SELECT name FROM runs ORDER BY id")] == [
        "my\njob",
        "train",
    ]


def test_t10_a_row_that_ends_early_is_rejected_and_the_next_is_read(books: Books) -> None:
    """Half a row at the end of a file is kept as a reject, never a reason to stop."""
    taker = books.take(row(), "101\x1f101\x1f2")
    assert (taker.intake.rejects, books.cost()) == (1, HOUR_COST)


def test_t9_a_name_cannot_imitate_another_users_row(books: Books) -> None:
    """With the random separator of a call, a name that holds a whole row is only a name."""
    secret = "\x1f3fa94c"
    layout = Layout.of(LAYOUT.names, secret)
    forged = "x\n" + row(User="victim", DBIndex=9) + "\n"
    honest = secret.join(forged if field == "train" else field for field in row().split("\x1f"))
    books.take(honest, layout=layout)
    assert [run["user"] for run in books.ledger.rows("SELECT user FROM dims")] == ["ana"]
    assert books.ledger.rows("SELECT name FROM runs") == [{"name": forged}]


@pytest.mark.parametrize(
    ("start", "end", "elapsed", "seconds"),
    [
        ("2026-10-25T02:30:00", "2026-10-25T02:10:00", "00:40:00", 2400),
        ("2026-10-25T01:30:00", "2026-10-25T02:30:00", "02:00:00", 7200),
        ("2026-10-25T01:30:00", "2026-10-25T02:30:00", "01:00:00", 3600),
        ("2026-03-29T01:30:00", "2026-03-29T03:30:00", "01:00:00", 3600),
    ],
)
def test_t11_local_times_around_a_change_of_the_clock(
    books: Books, start: str, end: str, elapsed: str, seconds: int
) -> None:
    """The hour that happens twice is read so that it fits the elapsed time; End may sort before Start."""
    take_saved(books, saved(Submit=start, Start=start, End=end, Elapsed=elapsed), zone=PARIS)
    (run,) = books.ledger.rows("SELECT ended - started AS length FROM runs")
    assert run["length"] == seconds


def test_t11_a_day_begins_at_the_sites_midnight(make_books: Callable[..., Books]) -> None:
    """A job from 23:30 to 00:30 in Paris has half its charge on each day."""
    books = make_books(zone=PARIS)
    start = int(datetime(2026, 1, 31, 22, 30, tzinfo=UTC).timestamp())
    books.take(row(Start=start, End=start + 3600))
    assert [line["cost"] for line in usage(books.ledger, ["month"])] == ["2.400000", "2.400000"]


@pytest.mark.parametrize("word", ["Unknown", "None", "", "0", "4294967295", "4294967294"])
def test_t12_words_for_no_time(books: Books, word: str) -> None:
    """A run without a start is kept and costs nothing."""
    books.take(row(State="CANCELLED by 0", Start=word, End=word, ElapsedRaw=0, AllocTRES=""))
    assert books.ledger.rows("SELECT started, ended FROM runs") == [{"started": None, "ended": None}]


def test_t12_an_ended_run_without_an_end_is_charged_for_its_elapsed_time(books: Books) -> None:
    """COMPLETED with End Unknown has been seen; elapsed time is what counts."""
    books.take(row(End="Unknown"))
    assert books.cost() == HOUR_COST


def test_t13_an_invented_end_of_a_running_job_is_not_taken(books: Books) -> None:
    """RUNNING with an End stays open, and is charged for what elapsed."""
    books.take(row(State="RUNNING", End=NOON, ElapsedRaw=1800), seen=NOON + 1800)
    assert open_jobs(books.ledger, "alpha", NOON + 9999) == [("100", NOON - 60)]
    assert books.cost() == HOUR_COST // 2


def test_t14_suspension_is_not_charged_for_cpus_but_gpus_stay_held(books: Books) -> None:
    """Three hours of work and one of suspension: CPUs for three hours, GPUs for four."""
    books.take(row(End=NOON + 4 * 3600, ElapsedRaw=3 * 3600, Suspended="01:00:00"))
    assert books.cost() == 3 * 800_000 + 4 * 4_000_000
    (charge,) = books.charges()
    assert (charge["wall_s"], charge["cpu_s"], charge["gpu_s"]) == (4 * 3600, 8 * 3 * 3600, 2 * 4 * 3600)


@pytest.mark.parametrize(
    ("text", "seconds"), [("05:03.123", 303), ("01:05:03", 3903), ("3-00:00:00", 259200), ("INVALID", 0)]
)
def test_t15_durations(books: Books, text: str, seconds: int) -> None:
    """Minutes with fractions, hours, days, and Slurm's word for a negative duration."""
    take_saved(books, saved(Elapsed=text, End="Unknown"))
    assert books.ledger.rows("SELECT elapsed_s FROM runs") == [{"elapsed_s": seconds}]


@pytest.mark.parametrize("limit", ["UNLIMITED", "Partition_Limit", "", "INVALID"])
def test_t15_limits_that_are_words(books: Books, limit: str) -> None:
    """A limit that is no number is no limit, not a reject."""
    taker = books.take(row(TimelimitRaw=limit))
    assert (taker.intake.rejects, books.cost()) == (0, HOUR_COST)


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("CANCELLED by 1001", "CANCELLED"), ("CANCELLED+", "CANCELLED"), ("OUT_OF_ME+", "OUT_OF_MEMORY"),
        ("DEADLINE", "DEADLINE"), ("LAUNCH_FAILED", "LAUNCH_FAILED"), ("TOMORROWS_STATE", "TOMORROWS_STATE"),
    ],
)  # fmt: skip
def test_t16_states_are_kept_and_unknown_ends_are_charged(books: Books, printed: str, state: str) -> None:
    """The state's word without the uid, completed where it was cut; an unknown word is an end."""
    books.take(row(State=printed))
    assert states(books) == [state]
    assert books.cost() == HOUR_COST


def test_t16_a_federated_sibling_costs_nothing(books: Books) -> None:
    """REVOKED ran elsewhere."""
    books.take(row(State="REVOKED"))
    assert books.cost() == 0


def test_t17_an_exit_code_does_not_decide(books: Books) -> None:
    """Out of memory with exit 0:125 is what State says."""
    books.take(row(State="OUT_OF_MEMORY", ExitCode="0:125"))
    assert states(books) == ["OUT_OF_MEMORY"]


def test_t18_what_was_allocated_is_charged_not_what_was_asked_for(books: Books) -> None:
    """An exclusive job asked for one CPU and held a node."""
    books.take(
        row(
            ReqTRES="cpu=1,mem=4G,node=1",
            AllocTRES="billing=128,cpu=128,gres/gpu:a100=4,gres/gpu=4,mem=4G,node=1",
        )
    )
    assert books.cost() == 12_800_000 + 8_000_000


@pytest.mark.parametrize(
    ("tres", "gpu_hours", "model"),
    [
        ("cpu=1,gres/gpu:a100=2,gres/gpu=2", 2, "a100-40gb"),
        ("cpu=1,gres/gpu=3,gres/gpu:t4=1,gres/gpu:a100=2", 3, "a100-40gb+t4"),
        ("cpu=1,gres/gpu:a100=2", 2, "a100-40gb"),
        ("cpu=1,gres/gpu=2", 2, "untyped"),
        ("cpu=1,gres/gpu:a100=1,gres/gpu=2", 2, "a100-40gb+untyped"),
        ("cpu=1,gres/gpu:1g.10gb=2,gres/gpu=2", 2, "1g-10gb"),
        ("cpu=1,gres/gpu:a100=0,gres/gpu=0", 0, ""),
    ],
)
def test_t19_gpus_are_the_larger_of_both_counts(books: Books, tres: str, gpu_hours: int, model: str) -> None:
    """Typed GPUs are part of the untyped count where both are there; MIG slices keep their names."""
    books.take(row(AllocTRES=tres))
    (line,) = usage(books.ledger, ["gpu_model"])
    assert (line["gpu_hours"], line["gpu_model"]) == (gpu_hours, model)


def test_t19_gpus_of_unknown_type_are_refused_not_free(books: Books) -> None:
    """Nobody says the type, so nobody knows the price."""
    books.take(row(AllocTRES="cpu=1,gres/gpu=2"))
    (line,) = usage(books.ledger, [])
    assert (line["refused"], line["cost"]) == (1, "0.000000")


def test_t20_a_missing_billing_figure_changes_nothing(books: Books) -> None:
    """Charges come from resources, not from Slurm's truncated billing."""
    books.take(row(AllocTRES="cpu=8,gres/gpu:a100=2,node=1"), row(DBIndex=2))
    assert len({charge["cost"] for charge in books.charges()}) == 1


@pytest.mark.parametrize("memory", ["65536M", "64G", "0.0625T", "67108864K", "64.00G"])
def test_t21_memory_in_any_letter(books: Books, memory: str) -> None:
    """65536M, 64G and 0.0625T are the same memory."""
    books.take(row(AllocTRES=f"cpu=8,gres/gpu:a100=2,mem={memory},node=1"))
    assert books.cost() == HOUR_COST


def test_t23_a_job_in_two_windows_is_one_run(books: Books) -> None:
    """An answer for yesterday and one for today both show the job that crossed midnight."""
    books.take(row())
    books.take(row())
    assert books.cost() == HOUR_COST


def test_t24_a_runaway_that_was_closed_gives_its_charge_back(books: Books) -> None:
    """RUNNING for 20 hours becomes COMPLETED with nothing elapsed."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=72000, TimelimitRaw=""), seen=NOON + 72000)
    assert books.cost() == 20 * HOUR_COST
    books.take(row(State="COMPLETED", End=NOON, ElapsedRaw=0), seen=NOON + 80000)
    assert books.cost() == 0


def test_t25_a_runaway_is_held_and_named(books: Books) -> None:
    """A day past its two-hour limit the record is not charged but listed; closed, it is charged."""
    books.take(row(State="RUNNING", End="Unknown", ElapsedRaw=86400), seen=NOON + 86400)
    assert books.cost() == 0
    assert [line["kind"] for line in books.ledger.rows("SELECT kind FROM problems")] == ["runaway"]
    books.take(row(), seen=NOON + 90000)
    assert (books.cost(), books.ledger.rows("SELECT kind FROM problems")) == (HOUR_COST, [])


def test_t26_a_run_that_sacct_no_longer_shows_stays(books: Books) -> None:
    """Purged records are not deletions."""
    books.take(row())
    books.take(row(JobID=101, DBIndex=2))
    assert books.cost() == 2 * HOUR_COST


def test_t28_fewer_fields_are_enough_and_missing_ones_are_named() -> None:
    """Fields that came or went with a version are optional; those a charge needs are not."""
    Layout.of(("JobIDRaw", "State", "Submit", "Start", "End", "ElapsedRaw"), "|")
    with pytest.raises(UsageError, match="elapsedraw"):
        Layout.of(("JobIDRaw", "State", "Submit", "Start", "End"), "|")


def test_t30_a_user_without_a_name_is_known_by_number(books: Books) -> None:
    """Names are kept as they were at ingest; a uid that resolves to none is not an empty user."""
    books.take(row(User="", UID=4242))
    assert [line["user"] for line in usage(books.ledger, ["user"])] == ["uid-4242"]


def test_rows_with_and_without_dbindex_are_not_mixed(books: Books) -> None:
    """The same run under two kinds of key would be charged twice, so the second kind is refused."""
    books.take(row())
    with pytest.raises(UsageError, match="counted twice"):
        take_saved(books, saved())


def test_a_raw_row_comes_back_as_it_was(books: Books) -> None:
    """Every field of the answer can be read again, hostile names included."""
    books.take(row(JobName="=cmd|'/C calc'!A0", Comment="é"))
    (run,) = books.ledger.rows("SELECT raw_block, raw_row FROM runs")
    raw = raw_row(books.ledger, run["raw_block"], run["raw_row"])
    assert (raw["jobname"], raw["comment"], raw["alloctres"][:9]) == ("=cmd|'/C calc'!A0", "é", "billing=8")
