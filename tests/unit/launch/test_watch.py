"""Watching many jobs with few questions."""

from collections.abc import Sequence

from mlcost_hpc.errors import SlurmTimeoutError
from mlcost_hpc.launch.watch import Watcher
from mlcost_hpc.slurm.api import Job, Run, RunAnswer
from mlcost_hpc.slurm.fake import FakeSlurm


class CountingSlurm(FakeSlurm):
    """Counts what it is asked."""

    questions = 0

    def jobs(self, job_ids: Sequence[str] = ()) -> tuple[Job, ...]:
        self.questions += 1
        return super().jobs(job_ids)

    def runs_of(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        self.questions += 1
        return super().runs_of(job_ids, since)


def watcher(slurm: FakeSlurm, *ids: str) -> Watcher:
    watch = Watcher(slurm)
    for job_id in ids:
        watch.register_job(job_id)
    return watch


def test_a_thousand_tasks_are_one_question() -> None:
    """All tasks of an array are covered by one question to the queue."""
    tasks = [f"7_{number}" for number in range(1000)]
    slurm = CountingSlurm(jobs=[Job(job_id=task, raw_job_id="7", state="RUNNING") for task in tasks])
    watch = watcher(slurm, *tasks)
    assert {watch.get_state(task) for task in tasks} == {"RUNNING"}
    assert slurm.questions == 1


def test_what_the_queue_forgot_the_accounting_knows() -> None:
    """A finished job that squeue no longer shows gets its last run's state."""
    runs = [
        Run(cluster="c", job_id="7", raw_job_id="7", state="PREEMPTED", submitted=1, started=1),
        Run(cluster="c", job_id="7", raw_job_id="7", state="COMPLETED", submitted=2, started=2),
    ]
    watch = watcher(FakeSlurm(runs=runs), "7")
    assert watch.get_state("7") == "COMPLETED"
    assert watch.is_done("7")


def test_preempted_job_that_waits_again_is_not_done() -> None:
    """PREEMPTED and then PENDING is alive."""
    watch = watcher(FakeSlurm(jobs=[Job(job_id="7", raw_job_id="7", state="PENDING", restarts=1)]), "7")
    assert not watch.is_done("7")


def test_silent_cluster_is_asked_again() -> None:
    """When Slurm does not answer, nothing is known and nothing is raised."""
    watch = watcher(FakeSlurm(error=SlurmTimeoutError(["squeue"], 30)), "7")
    assert watch.get_state("7") == "UNKNOWN"
    assert not watch.is_done("7")


def test_finished_jobs_are_not_asked_for_again() -> None:
    """Once all are finished there is nothing left to ask."""
    slurm = CountingSlurm(jobs=[Job(job_id="7", raw_job_id="7", state="COMPLETED")])
    watch = watcher(slurm, "7")
    assert watch.is_done("7", mode="force")
    watch.update()
    assert slurm.questions == 1
