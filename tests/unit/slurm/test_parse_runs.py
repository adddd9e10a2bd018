"""Accounting rows as sacct prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import Run, RunAnswer
from mlcost_hpc.slurm.commands import SACCT_FIELDS
from mlcost_hpc.slurm.parse_runs import parse_runs, parse_state
from mlcost_hpc.units import Tres, parse_tres

SEP = "\x1fab12cd"
HELD = "billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=65536M,node=1"
VALUES = {
    "JobIDRaw": "100",
    "JobID": "100",
    "DBIndex": "12670464425943961600",
    "User": "ann",
    "UID": "1001",
    "Account": "ml",
    "Partition": "a100",
    "QOS": "normal",
    "State": "COMPLETED",
    "Submit": "1795587389",
    "Eligible": "1795587389",
    "Start": "1795587391",
    "End": "1795590991",
    "ElapsedRaw": "3600",
    "Suspended": "00:00:00",
    "TimelimitRaw": "120",
    "AllocTRES": HELD,
    "ReqTRES": "cpu=1,mem=4G,node=1",
    "NNodes": "1",
    "NodeList": "a100-1",
    "ExitCode": "0:0",
    "Reservation": "",
    "ReservationId": "",
    "WCKey": "",
    "JobName": "train",
    "Comment": "",
    "Cluster": "alpha",
}


def row(**changes: str) -> str:
    return SEP.join((VALUES | changes)[field] for field in SACCT_FIELDS) + "\n"


def parse(text: str) -> RunAnswer:
    return parse_runs(text, SEP, SACCT_FIELDS)


def run(**changes: str) -> Run:
    answer = parse(row(**changes))
    assert answer.rejects == ()
    return answer.runs[0]


def test_a_finished_run() -> None:
    """Everything that sacct says is in the record; the index stays text, for it can exceed 2^63."""
    assert run() == Run(
        cluster="alpha",
        job_id="100",
        raw_job_id="100",
        db_index="12670464425943961600",
        user="ann",
        uid=1001,
        account="ml",
        partition="a100",
        qos="normal",
        state="COMPLETED",
        submitted=1795587389,
        eligible=1795587389,
        started=1795587391,
        ended=1795590991,
        elapsed_s=3600,
        time_limit_s=7200,
        allocated=parse_tres(HELD),
        requested=parse_tres("cpu=1,mem=4G,node=1"),
        node_count=1,
        node_list="a100-1",
        exit_code="0:0",
        name="train",
    )


def test_each_run_of_a_requeued_job_is_kept() -> None:
    """Nothing is merged by job id: preempted, resized and wrapped ids are rows of their own."""
    answer = parse(row(State="PREEMPTED") + row(Submit="1795591000", Start="1795591100") + row())
    assert [(found.job_id, found.state) for found in answer.runs] == [
        ("100", "PREEMPTED"),
        ("100", "COMPLETED"),
        ("100", "COMPLETED"),
    ]


@pytest.mark.parametrize(
    ("text", "state", "uid"),
    [
        ("CANCELLED by 1001", "CANCELLED", 1001),
        ("CANCELLED", "CANCELLED", None),
        ("CANCELLED+", "CANCELLED", None),
        ("OUT_OF_ME+", "OUT_OF_MEMORY", None),
        ("FOO", "FOO", None),
        ("NODE_FAIL", "NODE_FAIL", None),
    ],
)
def test_states(text: str, state: str, uid: int | None) -> None:
    """Cut words are completed, who cancelled is kept, unknown words pass."""
    assert parse_state(text) == (state, uid)


def test_a_running_job_has_not_ended() -> None:
    """Unknown is not a time."""
    assert run(State="RUNNING", End="Unknown").ended is None


@pytest.mark.parametrize("start", ["None", "Unknown"])
def test_a_job_that_never_started(start: str) -> None:
    """It held nothing and has no start."""
    found = run(JobID="300_[4-9%2]", State="CANCELLED by 0", Start=start, ElapsedRaw="0", AllocTRES="")
    assert (found.started, found.allocated, found.cancelled_by) == (None, Tres(), 0)


@pytest.mark.parametrize("job_id", ["300_4", "300_[0-20:4]", "300_[1,3,5-7%2]", "400+1", "400"])
def test_ids_of_jobs(job_id: str) -> None:
    """Array tasks, pending tasks and het components are runs."""
    assert run(JobID=job_id).job_id == job_id


@pytest.mark.parametrize("job_id", ["500.batch", "500.extern", "500.0", "500_3.interactive", "500+1.0+1"])
def test_steps_are_passed_over(job_id: str) -> None:
    """Steps carry no charge and are no rejects either."""
    assert parse(row(JobID=job_id)) == RunAnswer(runs=())


def test_suspension_and_limits() -> None:
    """Limits are minutes there and seconds here; suspension is a duration."""
    found = run(Suspended="1-01:00:00", TimelimitRaw="Partition_Limit")
    assert (found.suspended_s, found.time_limit_s) == (90000, None)


@pytest.mark.parametrize("field", ["TimelimitRaw", "UID", "NNodes", "ReqTRES", "ExitCode"])
def test_a_broken_value_that_no_charge_needs_is_left_empty(field: str) -> None:
    """Rows are not lost for values that only inform."""
    assert run(**{field: "????"}).job_id == "100"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Start": "####"}, "'####' is not a time"),
        ({"ElapsedRaw": "INVALID?"}, "not a number"),
        ({"AllocTRES": "cpu=x"}, "is not a number"),
        ({"State": ""}, "no state"),
        ({"Suspended": "INVALID?"}, "not a duration"),
        ({"JobID": "alpha"}, "not a job id"),
    ],
)
def test_a_broken_value_that_a_charge_needs_is_a_reject(changes: dict[str, str], why: str) -> None:
    """The row is kept with the reason, and the rows around it are read."""
    answer = parse(row() + row(**changes) + row())
    assert len(answer.runs) == 2
    (reject,) = answer.rejects
    assert why in reject.why
    assert reject.text == row(**changes).rstrip("\n")


def test_a_name_like_another_row_stays_a_name() -> None:
    """A user cannot write accounting rows with a job name."""
    evil = "x\x1f\x1falpha\n" + row(User="victim").replace(SEP, "\x1f").rstrip("\n")
    answer = parse(row(JobName=evil))
    assert [found.user for found in answer.runs] == ["ann"]
    assert answer.runs[0].name == evil


def test_half_an_answer_is_no_answer() -> None:
    """A part of a window must not pass for the whole window."""
    with pytest.raises(SlurmAnswerError, match="cut off"):
        parse((row() + row())[:-30])


def test_a_banner_is_a_reject() -> None:
    """What comes before the rows is kept, and the rows are read."""
    answer = parse(f"** login node **\n{row()}")
    assert len(answer.runs) == 1
    assert [reject.text for reject in answer.rejects] == ["** login node **"]


def test_a_sacct_without_the_needed_fields_is_refused() -> None:
    """Rows without state or times would be worthless."""
    with pytest.raises(SlurmAnswerError, match="does not know ElapsedRaw, State"):
        parse_runs("", SEP, ("JobIDRaw", "JobID", "Submit", "Start", "End", "Cluster"))


def test_fewer_fields_give_the_same_record_with_gaps() -> None:
    """An older sacct that lacks a field costs that field alone."""
    fields = tuple(field for field in SACCT_FIELDS if field not in ("DBIndex", "ReqTRES"))
    text = SEP.join(VALUES[field] for field in fields) + "\n"
    (found,) = parse_runs(text, SEP, fields).runs
    assert (found.db_index, found.requested, found.user) == ("", Tres(), "ann")


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_and_comment_come_back_as_they_were(name: str, comment: str) -> None:
    """Whatever users write, the row around it is read."""
    found = run(JobName=name, Comment=comment)
    assert (found.name, found.comment, found.user) == (name, comment, "ann")


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any garbage gives rejects or a clear error."""
    answer = parse(f"{text}\n")
    assert answer.runs == ()
