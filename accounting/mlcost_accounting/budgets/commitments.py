"""What jobs that run or wait may still cost, day by day (pure).

A running job is expected to use all of its time limit, a queued one to start now and do the same: a promise
is counted in full until it is settled. A queued job that names several partitions is priced at the dearest.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from mlcost_hpc.errors import RateError, UnitError
from mlcost_hpc.money import MICROS, round_micros
from mlcost_hpc.units import format_tres

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.held import Holdings
    from mlcost_accounting.projects import ProjectMap
    from mlcost_hpc.rates import RateBook
    from mlcost_hpc.slurm.api import Job

NO_LIMIT_S = 31 * 86400
"""Seconds a job without a time limit is taken to run on: a month, or until somebody stops it."""

_RUNNING = frozenset(
    {"RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT"}
)
_QUEUED = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})


class CommitmentKey(NamedTuple):
    """Whose commitment it is, on which day."""

    day: int
    kind: Literal["running", "queued"]
    account: str
    user: str
    project: str
    gpu_model: str


class Commitment(msgspec.Struct, kw_only=True):
    """What jobs may still use on one day: micros and GPU seconds; a job counts on its first day."""

    jobs: int = 0
    cost: int = 0
    gpu_s: int = 0


class Commitments(msgspec.Struct, kw_only=True):
    """All commitments of a cluster, and the jobs that could not be priced."""

    parts: dict[CommitmentKey, Commitment]
    unpriced: int = 0


class Committer:
    """Works out commitments.

    Args:
        book: the rate cards; without any, only GPU time is counted.
        holdings: reads resource lists.
        projects: the project rules.
        calendar: the site's days.
    """

    def __init__(
        self, book: RateBook | None, holdings: Holdings, projects: ProjectMap, calendar: Calendar
    ) -> None:
        self._book = book
        self._holdings = holdings
        self._projects = projects
        self._calendar = calendar

    def of(self, jobs: Iterable[Job], *, known_until: int, now: int) -> Commitments:
        """Return what jobs may still use.

        Args:
            jobs: the controller's jobs; those that have ended do not count.
            known_until: the ledger has charged running jobs up to here (UTC seconds).
            now: this moment.
        """
        found = Commitments(parts=defaultdict(Commitment))
        for job in jobs:
            kind: Literal["running", "queued"]
            if job.state in _RUNNING and job.started is not None:
                kind, start = "running", max(job.started, known_until)
                end = job.started + (NO_LIMIT_S if job.time_limit_s is None else job.time_limit_s)
            elif job.state in _QUEUED:
                kind, start = "queued", now
                end = now + (NO_LIMIT_S if job.time_limit_s is None else job.time_limit_s)
            else:
                continue
            if end > start:
                self._add(found, job, kind, start, end)
        found.parts = dict(found.parts)
        return found

    def _add(
        self, found: Commitments, job: Job, kind: Literal["running", "queued"], start: int, end: int
    ) -> None:
        try:
            held = self._holdings.read(format_tres(job.tres), job.tres.nodes)
        except UnitError:
            found.unpriced += 1
            return
        partition = job.partitions[0] if job.partitions else ""
        project = self._projects.project_of(job.account, job.qos, partition, "", job.comment)
        for first, (day, begin, stop) in enumerate(self._calendar.pieces(start, end)):
            part = found.parts[CommitmentKey(day, kind, job.account, job.user, project, held.gpu_model)]
            price = self._price(job, day)
            if price is None and not first:
                found.unpriced += 1
            seconds = (price or Fraction(0)) * (stop - begin) * MICROS / 3600
            part.cost += round_micros(seconds.numerator, seconds.denominator)
            part.gpu_s += held.gpus * (stop - begin)
            part.jobs += int(not first)

    def _price(self, job: Job, day: int) -> Fraction | None:
        if self._book is None:
            return None
        try:
            card = self._book.card_at(date.fromordinal(day))
            return max(
                card.exact_per_hour(
                    self._holdings.read(
                        format_tres(job.tres), job.tres.nodes, card.at(partition).gpu_model
                    ).resources,
                    partition,
                    job.qos,
                )
                for partition in job.partitions or ("",)
            )
        except RateError:
            return None
