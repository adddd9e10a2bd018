"""Measured speeds that outlive the folders of their runs, and waiting for the runs that measure."""

from pathlib import Path

import pytest

from mlcost_hpc.errors import SlurmCommandError, SlurmError
from mlcost_hpc.launch.finish import until_ended
from mlcost_hpc.launch.measured import Measured, keep, kept_measurements, merge
from mlcost_hpc.launch.speed import Measurement
from mlcost_hpc.slurm.api import Job
from mlcost_hpc.slurm.fake import FakeSlurm


def measured(job: str, speed: float, day: int, gpu: str = "h100") -> Measured:
    """A speed on one GPU on a day of January."""
    return Measured(
        measurement=Measurement(gpu_model=gpu, gpus=1, per_second=speed, job=job),
        at=f"2026-01-{day:02}T00:00:00+00:00",
    )


def test_newest_measurement_of_a_job_on_a_gpu_counts() -> None:
    """Whether it was kept or is found, the newer one wins; other jobs and other GPUs stay."""
    kept = [measured("a", 1, 5), measured("b", 2, 5), measured("a", 3, 1, "t4")]
    found = [measured("a", 9, 4), measured("b", 8, 6)]
    speeds = {
        (item.measurement.job, item.measurement.gpu_model): item.measurement.per_second
        for item in merge(kept, found)
    }
    assert speeds == {("a", "h100"): 1, ("b", "h100"): 8, ("a", "t4"): 3}


def test_a_run_that_goes_on_is_read_anew() -> None:
    """Of the same run what its own record says now counts, not what was kept of it."""
    [only] = merge([measured("a", 1, 5)], [measured("a", 2, 5)])
    assert only.measurement.per_second == 2


def test_what_is_kept_is_read_back_and_private(tmp_path: Path) -> None:
    """The file is the user's own; damaged or missing, nothing is known."""
    path = tmp_path / "speeds" / "c.json"
    assert kept_measurements(path) == ()
    known = (measured("a", 1, 5),)
    keep(path, known)
    assert kept_measurements(path) == known
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("[{")
    assert kept_measurements(path) == ()


def job(number: str, state: str) -> Job:
    return Job(job_id=number, raw_job_id=number, state=state)


class Queue(FakeSlurm):
    """A queue that changes each time it is asked."""

    def __init__(self, *answers: tuple[Job, ...]) -> None:
        super().__init__()
        self.answers = list(answers)

    def jobs(self, job_ids: object = ()) -> tuple[Job, ...]:  # noqa: ARG002
        return self.answers.pop(0)


def test_waiting_ends_when_no_job_is_alive() -> None:
    """A requeued job is alive, one that the queue has forgotten has ended; the pauses grow."""
    queue = Queue(
        (job("1", "RUNNING"), job("2", "PENDING")), (job("1", "COMPLETED"), job("2", "REQUEUED")),
        (job("2", "RUNNING"),), (),
    )  # fmt: skip
    pauses: list[float] = []
    alive = list(until_ended(queue, ["1", "2"], pauses.append))
    assert alive == [{"1", "2"}, {"2"}, {"2"}, set()]
    assert pauses == [2, 4, 8]


def test_waiting_does_not_hide_what_slurm_says() -> None:
    """An error that is not silence ends the waiting."""
    broken = FakeSlurm(error=SlurmCommandError(["squeue"], 1, "", "Invalid job id"))
    with pytest.raises(SlurmError, match="Invalid job id"):
        list(until_ended(broken, ["1"], lambda _: None))
