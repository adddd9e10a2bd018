"""A Slurm in memory, for tests and for trying things out without a cluster. Public, kept like the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.slurm.api import Job, Node, Partition, Reject, Run, RunAnswer, Version
from mlcost_hpc.slurm.parse_jobs import is_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.errors import SlurmError

LATEST = Version(24, 11, 5)


class FakeSlurm:
    """A cluster that answers with the records it was given.

    It selects as Slurm does: a run overlaps a window when it became eligible before the window's end and
    had not ended before its start; jobs that were never eligible are in no window.

    Args:
        partitions: its partitions.
        nodes: its nodes.
        jobs: the jobs the controller knows.
        runs: the accounting rows.
        rejects: rows that could not be read; they come with every answer about runs.
        config: the controller's settings; name and version are filled in.
        version: its version.
        error: when given, every question fails with it.
    """

    name = "fake"

    def __init__(
        self,
        *,
        partitions: Sequence[Partition] = (),
        nodes: Sequence[Node] = (),
        jobs: Sequence[Job] = (),
        runs: Sequence[Run] = (),
        rejects: Sequence[Reject] = (),
        config: Mapping[str, str] | None = None,
        version: Version = LATEST,
        error: SlurmError | None = None,
    ) -> None:
        self._partitions = tuple(partitions)
        self._nodes = tuple(nodes)
        self._jobs = tuple(jobs)
        self._runs = tuple(runs)
        self._rejects = tuple(rejects)
        self._version = version
        self._config = {"ClusterName": "fake", "SLURM_VERSION": str(version)} | dict(config or {})
        self.error = error

    def version(self) -> Version:
        """Return the version it was given."""
        self._check()
        return self._version

    def config(self) -> Mapping[str, str]:
        """Return the settings."""
        self._check()
        return self._config

    def partitions(self) -> tuple[Partition, ...]:
        """Return the partitions."""
        self._check()
        return self._partitions

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes."""
        self._check()
        return self._nodes

    def jobs(self, job_ids: Sequence[str] = ()) -> tuple[Job, ...]:
        """Return all jobs, or those with the given ids."""
        self._check()
        wanted = frozenset(job_ids)
        return tuple(job for job in self._jobs if not wanted or is_wanted(job, wanted))

    def runs(self, start: int, end: int) -> RunAnswer:
        """Return the rows that overlap a window of UTC seconds."""
        self._check()
        return RunAnswer(
            runs=tuple(run for run in self._runs if _overlaps(run, start, end)), rejects=self._rejects
        )

    def runs_of(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        """Return every row of some jobs that had not ended before a time."""
        self._check()
        wanted = frozenset(job_ids)
        runs = tuple(
            run for run in self._runs if _belongs(run, wanted) and (run.ended is None or run.ended >= since)
        )
        return RunAnswer(runs=runs, rejects=self._rejects)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


def _overlaps(run: Run, start: int, end: int) -> bool:
    return run.eligible is not None and run.eligible < end and (run.ended is None or run.ended >= start)


def _belongs(run: Run, job_ids: frozenset[str]) -> bool:
    whole = run.job_id.partition("_")[0].partition("+")[0]
    return run.job_id in job_ids or run.raw_job_id in job_ids or whole in job_ids
