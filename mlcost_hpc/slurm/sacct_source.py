"""Where accounting rows of a live cluster come from: sacct's text, or records of another backend."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import msgspec

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm import commands
from mlcost_hpc.slurm.parse_config import parse_helpformat
from mlcost_hpc.slurm.process import run
from mlcost_hpc.slurm.sacct_lines import Layout
from mlcost_hpc.slurm.scontrol_text import check_whole
from mlcost_hpc.slurm.steps import JobUse, parse_steps, sacct_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.slurm.api import RunAnswer, Slurm


class SacctText(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer of sacct and how its rows are laid out."""

    text: str
    layout: Layout


class AccountingSource(Protocol):
    """A live cluster's accounting rows. All methods raise :class:`~mlcost_hpc.errors.SlurmError`."""

    def window(self, start: int, end: int) -> SacctText | RunAnswer:
        """Return all users' rows that overlap ``[start, end)`` (UTC seconds), each run of a job."""
        ...

    def jobs(self, job_ids: Sequence[str], since: int) -> SacctText | RunAnswer:
        """Return every row of the given jobs since a time (UTC seconds)."""
        ...


class SacctSource:
    """sacct itself.

    Args:
        timeout_s: seconds after which a call is given up.
        cluster: name for ``--clusters``; None = the local cluster.
    """

    def __init__(self, *, timeout_s: float, cluster: str | None = None) -> None:
        self._timeout_s = timeout_s
        self._cluster = cluster

    def window(self, start: int, end: int) -> SacctText:
        """Return all users' rows that overlap ``[start, end)`` (UTC seconds), each run of a job."""
        separator = commands.new_separator()
        argv = commands.sacct_window(
            start, end, fields=self._fields, separator=separator, cluster=self._cluster
        )
        return self._ask(argv, separator)

    def jobs(self, job_ids: Sequence[str], since: int) -> SacctText:
        """Return every row of the given jobs since a time (UTC seconds)."""
        separator = commands.new_separator()
        argv = commands.sacct_jobs(
            job_ids, since, fields=self._fields, separator=separator, cluster=self._cluster
        )
        return self._ask(argv, separator)

    def steps(self, job_ids: Sequence[str], since: int) -> list[JobUse]:
        """Return what every run of the given jobs used since a time (UTC seconds)."""
        separator = commands.new_separator()
        text = run(
            sacct_steps(job_ids, since, separator=separator, cluster=self._cluster), timeout_s=self._timeout_s
        ).stdout
        check_whole(text, "sacct")
        return parse_steps(text, separator)

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        """The wanted fields that this version of sacct knows."""
        known = parse_helpformat(run(commands.sacct_helpformat(), timeout_s=self._timeout_s).stdout)
        fields = commands.sacct_fields(known)
        missing = commands.SACCT_NEEDED - set(fields)
        if missing:
            raise SlurmAnswerError(f"sacct of this Slurm does not know {', '.join(sorted(missing))}")
        return fields

    def _ask(self, argv: Sequence[str], separator: str) -> SacctText:
        text = run(argv, timeout_s=self._timeout_s).stdout
        check_whole(text, "sacct")
        return SacctText(text=text, layout=Layout.of(self._fields, separator))


class RecordSource:
    """A backend that answers with records.

    Args:
        slurm: the backend.
    """

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm

    def window(self, start: int, end: int) -> RunAnswer:
        """Return all users' rows that overlap ``[start, end)`` (UTC seconds), each run of a job."""
        return self._slurm.runs(start, end)

    def jobs(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        """Return every row of the given jobs since a time (UTC seconds)."""
        return self._slurm.runs_of(job_ids, since)
