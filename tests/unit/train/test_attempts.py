"""The records of attempts, without torch."""

import subprocess
import sys

import pytest

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import attempts


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "local"),
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "12_3"),
    ],
)
def test_the_job_id_is_written_as_slurm_users_write_it(environment, expected):
    """An array task is known by the array's id and its index."""
    assert attempts.job_id_from(environment) == expected


def test_records_are_read_back_in_the_order_of_their_start(tmp_path):
    """What was written is read back; a file that another tool left there beginning with a dot is not."""
    for restart, started in ((1, "2026-01-01T11:00:00+00:00"), (0, "2026-01-01T10:00:00+00:00")):
        attempts.write_attempt(tmp_path, attempts.Attempt(job_id="7", restart=restart, started=started))
    (tmp_path / "attempts" / ".7.0.json.abc").write_text("{")
    assert [attempt.restart for attempt in attempts.read_attempts(tmp_path)] == [0, 1]
    assert attempts.read_attempts(tmp_path / "none") == []


def test_a_record_that_is_none_is_an_error_with_its_path(tmp_path):
    """A damaged record is told, with the file's name."""
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / "7.0.json").write_text('{"job_id": 7}')
    with pytest.raises(CheckpointError, match=r"7\.0\.json is not a record"):
        attempts.read_attempts(tmp_path)


def test_observed_time_counts_closed_and_open_attempts():
    """A closed attempt counts to its end, a killed one to the last time it was heard of."""
    closed = attempts.Attempt(
        job_id="7", restart=0, started="2026-01-01T10:00:00+00:00", ended="2026-01-01T11:00:00+00:00"
    )
    killed = attempts.Attempt(
        job_id="7", restart=1, started="2026-01-01T12:00:00+00:00", updated="2026-01-01T12:00:30+00:00"
    )
    assert attempts.observed_seconds([closed, killed]) == 3630


def test_reading_attempts_needs_no_torch():
    """The command line reads attempts and lists checkpoints on machines that have no torch."""
    code = (
        "import sys; sys.modules['torch'] = None; "
        "import mlcost_hpc.train.attempts, mlcost_hpc.train.store, mlcost_hpc.train.finished"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
