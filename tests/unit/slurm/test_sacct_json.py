"""``sacct --json`` of three releases: the same runs as the text form says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlcost_hpc.errors import UsageError
from mlcost_hpc.slurm.commands import SACCT_FIELDS
from mlcost_hpc.slurm.parse_config import parse_helpformat
from mlcost_hpc.slurm.parse_runs import parse_runs
from mlcost_hpc.slurm.sacct_json import parse_json_runs, parse_sluid

RECORDS = Path(__file__).parents[2] / "records"
GROWING = ("elapsed_s", "state", "ended", "suspended_s")
"""What can change between the two recorded questions."""
NOT_IN_JSON = ("uid", "cancelled_by", "exit_code")


def as_text(release: str) -> dict[tuple[str, int | None], dict[str, Any]]:
    folder = RECORDS / release
    known = parse_helpformat((folder / "sacct-helpformat.txt").read_text())
    fields = [field for field in SACCT_FIELDS if field.lower() in known]
    answer = parse_runs((folder / "sacct.txt").read_text(), "\x1frec", fields)
    return {(run.job_id, run.submitted): msgspec.structs.asdict(run) for run in answer.runs}


@pytest.mark.parametrize("release", ["22.05", "24.11", "26.05"])
def test_json_says_what_the_text_says(release: str) -> None:
    """Every run of the JSON document is a row of the text, equal in each field that both have."""
    answer = parse_json_runs((RECORDS / release / "json" / "sacct.json").read_text())
    rows = as_text(release)
    assert answer.rejects == ()
    assert len(answer.runs) >= 17
    for run in answer.runs:
        row = rows[run.job_id, run.submitted]
        mine = msgspec.structs.asdict(run)
        skipped = set(NOT_IN_JSON)
        if row["state"] == "RUNNING":
            skipped |= set(GROWING)
        if release != "26.05":
            skipped.add("db_index")
        if run.state == "PENDING":
            # JSON has no number of wanted nodes, and the order of the partitions is not fixed.
            skipped.add("node_count")
            mine["partition"], row["partition"] = (
                sorted(value.split(",")) for value in (mine["partition"], row["partition"])
            )
        assert {k: v for k, v in mine.items() if k not in skipped} == {
            k: v for k, v in row.items() if k not in skipped
        }


def test_a_sluid_is_the_index_that_the_text_form_prints() -> None:
    """Base 32 to an unsigned number of 64 bits."""
    assert parse_sluid("s8SNM88RKJ3A00") == "10148448645211596800"
    assert parse_sluid("s8SNM88RMK5P01") == "10148448645246277633"
    assert parse_sluid("") == ""


def job(**changes: Any) -> dict[str, Any]:
    document = json.loads((RECORDS / "24.11" / "json" / "sacct.json").read_text())
    return document["jobs"][3] | changes  # type: ignore[no-any-return]


def test_several_words_of_a_state_are_read_as_the_text_form_prints_them() -> None:
    """A flag such as REQUEUED stands before the base state."""
    text = json.dumps({"jobs": [job(state={"current": ["NODE_FAIL", "REQUEUED"], "reason": "None"})]})
    assert parse_json_runs(text).runs[0].state == "REQUEUED"


def test_waiting_tasks_of_an_array_are_one_row() -> None:
    """Tasks that did not start yet are printed as a range, as in the text form."""
    array = {"job_id": 300, "task_id": {"set": False, "infinite": False, "number": 0}, "task": "4-9"}
    (run,) = parse_json_runs(json.dumps({"jobs": [job(array=array)]})).runs
    assert run.job_id == "300_[4-9]"


def test_a_login_banner_before_the_document_is_passed_over() -> None:
    """What ssh prints first is no part of the answer."""
    text = "Welcome to the cluster {maintenance: none}\n\n" + json.dumps({"jobs": [job()]})
    assert len(parse_json_runs(text).runs) == 1


def test_a_job_that_cannot_be_read_is_a_reject() -> None:
    """The others are read."""
    broken = [job(time=None), job(state={"current": []}), job(job_id="seven"), None]
    answer = parse_json_runs(json.dumps({"jobs": [*broken, job()]}))
    assert (len(answer.runs), len(answer.rejects)) == (1, 4)


@pytest.mark.parametrize("text", ['{"jobs": [', '{"nodes": []}', "{}", '{"jobs": {}}'])
def test_a_document_that_is_cut_off_or_another_is_refused(text: str) -> None:
    """Part of an answer must not pass for the whole."""
    with pytest.raises(UsageError, match="sacct --json"):
        parse_json_runs(text)
