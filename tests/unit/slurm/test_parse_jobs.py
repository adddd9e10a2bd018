"""Jobs as squeue shows them."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import Job
from mlcost_hpc.slurm.commands import SQUEUE_FIELDS
from mlcost_hpc.slurm.parse_jobs import is_wanted, parse_jobs
from mlcost_hpc.units import parse_tres

SEP = "\x1fab12cd"
VALUES = dict.fromkeys(SQUEUE_FIELDS, "N/A") | {
    "JobArrayID": "7",
    "JobID": "7",
    "UserName": "ann",
    "Account": "ml",
    "Partition": "spot",
    "QOS": "normal",
    "State": "RUNNING",
    "SubmitTime": "1795587389",
    "StartTime": "1795587391",
    "EndTime": "1795587991",
    "TimeLimit": "10:00",
    "RestartCnt": "1",
    "tres-alloc": "cpu=2,mem=100M,node=2,billing=2,gres/gpu=4,gres/gpu:a100=4",
    "NodeList": "a100-[1-2]",
    "Requeue": "1",
    "Reason": "None",
    "Name": "train",
    "Comment": "(null)",
    "Cluster": "alpha",
}


def answer(**changes: str) -> str:
    values = VALUES | {name.replace("_", "-"): value for name, value in changes.items()}
    return SEP.join(values[field] for field in SQUEUE_FIELDS) + "\n"


def job(**changes: str) -> Job:
    (found,) = parse_jobs(answer(**changes), SEP)
    return found


def test_a_running_job() -> None:
    """Everything that squeue says is in the record."""
    assert job() == Job(
        job_id="7",
        raw_job_id="7",
        name="train",
        user="ann",
        account="ml",
        partitions=("spot",),
        qos="normal",
        state="RUNNING",
        submitted=1795587389,
        started=1795587391,
        ended=1795587991,
        time_limit_s=600,
        restarts=1,
        tres=parse_tres("cpu=2,mem=100M,node=2,billing=2,gres/gpu=4,gres/gpu:a100=4"),
        node_names=("a100-1", "a100-2"),
        requeue=True,
    )


def test_a_pending_job_in_two_partitions() -> None:
    """It has a reason, a list of partitions, and no times yet."""
    pending = job(
        State="PENDING", Partition="t4,spot", StartTime="N/A", EndTime="N/A", Reason="Resources", NodeList=""
    )
    assert (pending.partitions, pending.reason) == (("t4", "spot"), "Resources")
    assert (pending.started, pending.ended, pending.node_names) == (None, None, ())


def test_a_job_being_preempted() -> None:
    """The moment at which preemption began is known."""
    assert job(PreemptTime="1795587500").preempted == 1795587500


def test_a_name_like_another_row_stays_a_name() -> None:
    """Without the separator of this call a name cannot end its field, let alone its row."""
    evil = "x\n8\x1f8\x1froot\x1fml\x1fRUNNING\nalpha"
    assert job(Name=evil).name == evil


def test_an_unknown_state_is_kept() -> None:
    """A state of a later Slurm does not break the reading."""
    assert job(State="HIBERNATING").state == "HIBERNATING"


def test_unreadable_limits_do_not_break_the_reading() -> None:
    """Words in place of a limit are no limit of the job's own."""
    assert job(TimeLimit="NOT_SET").time_limit_s is None


@pytest.mark.parametrize("text", ["", "CLUSTER: alpha\n"])
def test_no_jobs(text: str) -> None:
    """An empty queue is an empty answer, also with the headline of another cluster."""
    assert parse_jobs(text, SEP) == ()


def test_a_banner_before_the_answer_is_passed_over() -> None:
    """A login message does not spoil the answer."""
    assert len(parse_jobs(f"Welcome\n{answer()}", SEP)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer()[:-1], "cut off"),
        (answer() + SEP.join(["8", "8"]) + "\n", "ends after 2 of 20 fields"),
        ("Auftrag unbekannt\n", "something else"),
        (answer(SubmitTime="heute"), "job 7: 'heute'"),
        (answer(tres_alloc="cpu"), "job 7: 'cpu'"),
    ],
)
def test_answers_that_are_none(text: str, words: str) -> None:
    """Half an answer, another language or an unreadable value is an error that quotes it."""
    with pytest.raises(SlurmAnswerError, match=words):
        parse_jobs(text, SEP)


@pytest.mark.parametrize(
    ("job_id", "raw", "wanted"),
    [
        ("17_3", "20", "17"),
        ("17_3", "20", "17_3"),
        ("17_3", "20", "20"),
        ("17+1", "18", "17"),
        ("17", "17", "17"),
    ],
)
def test_ids_that_mean_a_job(job_id: str, raw: str, wanted: str) -> None:
    """A job answers to its id, Slurm's number, and the id of the array or het job it belongs to."""
    assert is_wanted(Job(job_id=job_id, raw_job_id=raw), {wanted})


@pytest.mark.parametrize("wanted", ["1", "17_30", "170", "3"])
def test_ids_that_mean_another(wanted: str) -> None:
    """Beginnings and parts of an id are not the id."""
    assert not is_wanted(Job(job_id="17_3", raw_job_id="20"), {wanted})
