"""The Slurm in memory."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import SlurmMissingError
from mlcost_hpc.slurm.api import Job, Node, Partition, Reject, Run, Slurm, Version
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
from mlcost_hpc.slurm.fake import FakeSlurm


def run(job_id: str, *, eligible: int | None, ended: int | None) -> Run:
    return Run(cluster="fake", job_id=job_id, raw_job_id=job_id, eligible=eligible, ended=ended)


def test_it_gives_back_what_it_was_given() -> None:
    """Records go in and come out; the settings hold name and version."""
    slurm: Slurm = FakeSlurm(
        partitions=[Partition(name="a")],
        nodes=[Node(name="n1")],
        config={"PreemptType": "preempt/qos"},
        version=Version(22, 5, 8),
    )
    assert [partition.name for partition in slurm.partitions()] == ["a"]
    assert [node.name for node in slurm.nodes()] == ["n1"]
    cluster = read_cluster_settings(slurm.config())
    assert (cluster.cluster, cluster.version, cluster.preempt_type) == ("fake", slurm.version(), "qos")


def test_jobs_are_selected_by_id() -> None:
    """An array's id means all its tasks."""
    jobs = [Job(job_id=f"7_{task}", raw_job_id=str(20 + task)) for task in range(2)]
    slurm = FakeSlurm(jobs=[*jobs, Job(job_id="8", raw_job_id="8")])
    assert slurm.jobs(["7"]) == tuple(jobs)
    assert slurm.jobs(["21", "99"]) == (jobs[1],)
    assert len(slurm.jobs()) == 3


@pytest.mark.parametrize(
    ("eligible", "ended", "expected"),
    [
        (0, 99, False),
        (0, 100, True),
        (150, 160, True),
        (150, None, True),
        (199, None, True),
        (200, None, False),
        (None, None, False),
    ],
)
def test_windows_overlap_as_in_slurm(eligible: int | None, ended: int | None, expected: bool) -> None:
    """A run is in every window it touches; held jobs are in none."""
    slurm = FakeSlurm(runs=[run("1", eligible=eligible, ended=ended)])
    assert bool(slurm.runs(100, 200).runs) is expected


def test_runs_of_jobs_since_a_time() -> None:
    """Every run of a job comes, but none that had ended before."""
    slurm = FakeSlurm(
        runs=[
            run("1", eligible=0, ended=50),
            run("1", eligible=60, ended=None),
            run("2", eligible=0, ended=9),
        ],
        rejects=[Reject(text="?", why="test")],
    )
    assert len(slurm.runs_of(["1"], since=51).runs) == 1
    assert len(slurm.runs_of(["1", "2"], since=0).runs) == 3
    assert slurm.runs_of([], since=0).rejects[0].why == "test"


def test_it_can_fail() -> None:
    """What callers do when Slurm is away can be tried."""
    slurm = FakeSlurm(error=SlurmMissingError("sinfo"))
    with pytest.raises(SlurmMissingError):
        slurm.nodes()
