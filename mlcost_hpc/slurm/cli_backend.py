"""Slurm through its commands: the backend that works everywhere."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmCommandError
from mlcost_hpc.slurm import commands
from mlcost_hpc.slurm.api import Job, Node, Partition, Reject, Run, RunAnswer, Version
from mlcost_hpc.slurm.parse_config import parse_config, parse_helpformat, parse_version
from mlcost_hpc.slurm.parse_jobs import is_wanted, parse_jobs
from mlcost_hpc.slurm.parse_nodes import parse_nodes
from mlcost_hpc.slurm.parse_partitions import parse_partitions
from mlcost_hpc.slurm.parse_runs import parse_runs
from mlcost_hpc.slurm.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# More ids than this and squeue is asked for all jobs: one answer of the controller costs it less than a
# long list, and an argument list has a limit.
_MOST_IDS = 500


class CliSlurm:
    """A Slurm cluster asked through ``scontrol``, ``squeue`` and ``sacct``.

    Args:
        timeout_s: seconds after which a command is given up.
        cluster: name for ``--clusters`` on a multi-cluster site; None = the local cluster.
    """

    name = "cli"

    def __init__(self, *, timeout_s: float = 30.0, cluster: str | None = None) -> None:
        self._timeout_s = timeout_s
        self._cluster = cluster

    def version(self) -> Version:
        """Return the controller's version."""
        return parse_version(self.config()["SLURM_VERSION"])

    def client_version(self) -> Version:
        """Return the version of the installed commands; no daemon is needed."""
        return parse_version(self.command(commands.sinfo_version()))

    def config(self) -> Mapping[str, str]:
        """Return the controller's settings."""
        return parse_config(self.command(commands.show_config(self._cluster)))

    def partitions(self) -> tuple[Partition, ...]:
        """Return all partitions the user may see."""
        return parse_partitions(self.command(commands.show_partitions(self._cluster)))

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes, each once."""
        return parse_nodes(self.command(commands.show_nodes(self._cluster)))

    def jobs(self, job_ids: Sequence[str] = ()) -> tuple[Job, ...]:
        """Return the jobs the controller knows; only those with the given ids when there are any."""
        separator = commands.new_separator()
        listed = job_ids if len(job_ids) <= _MOST_IDS else ()
        try:
            text = self.command(commands.squeue(separator, listed, self._cluster))
        except SlurmCommandError as error:
            if job_ids and "invalid job id specified" in error.stderr.lower():
                return ()
            raise
        jobs = parse_jobs(text, separator)
        if len(job_ids) <= _MOST_IDS:
            return jobs
        wanted = frozenset(job_ids)
        return tuple(job for job in jobs if is_wanted(job, wanted))

    def runs(self, start: int, end: int) -> RunAnswer:
        """Return all users' accounting rows that overlap ``[start, end)`` (UTC), each run of a job."""
        separator = commands.new_separator()
        argv = commands.sacct_window(
            start, end, fields=self._fields, separator=separator, cluster=self._cluster
        )
        return self._known(parse_runs(self.command(argv), separator, self._fields))

    def runs_of(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        """Return every accounting row of the given jobs since a time (UTC seconds)."""
        runs: list[Run] = []
        rejects: list[Reject] = []
        for some in _slices(job_ids):
            separator = commands.new_separator()
            argv = commands.sacct_jobs(
                some, since, fields=self._fields, separator=separator, cluster=self._cluster
            )
            answer = parse_runs(self.command(argv), separator, self._fields)
            runs += answer.runs
            rejects += answer.rejects
        return self._known(RunAnswer(runs=tuple(runs), rejects=tuple(rejects)))

    def _known(self, answer: RunAnswer) -> RunAnswer:
        """Return an answer; make sure that an empty one is not that of a cluster that does not exist.

        sacct says nothing of an unknown name, and a misspelt cluster would look like one without jobs.
        """
        if self._cluster is not None and not answer.runs and not answer.rejects:
            self.config()
        return answer

    def command(self, argv: Sequence[str]) -> str:
        """Return what a Slurm command prints, in UTC seconds and English, within the time limit."""
        return run(argv, timeout_s=self._timeout_s).stdout

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        """The accounting fields that the installed sacct knows."""
        return commands.sacct_fields(parse_helpformat(self.command(commands.sacct_helpformat())))


def _slices(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(job_ids), _MOST_IDS):
        yield job_ids[begin : begin + _MOST_IDS]
