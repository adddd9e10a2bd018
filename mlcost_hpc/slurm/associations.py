"""What ``sacctmgr`` says a user may do: associations, the accounts above them, and QOS (pure).

Three questions, whatever the number of jobs. A user's own rows already hold what they inherit from the
accounts above (Max...); what a group shares (Grp...) stands in the accounts' own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import UnitError
from mlcost_hpc.slurm.commands import show_accounting
from mlcost_hpc.slurm.values import parse_limit, parse_names, text_or_empty
from mlcost_hpc.units import parse_memory, parse_time_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEPARATOR = "|"  # no name of Slurm's accounting can hold it
_LIMITS = "MaxTRESPerJob,MaxTRESPerNode,GrpTRES,MaxTRESMinsPerJob,GrpTRESMins,MaxWall,MaxJobs,MaxSubmitJobs"
_QOS_LIMITS = _LIMITS.replace("MaxJobs,MaxSubmitJobs", "MaxJobsPerUser,MaxSubmitJobsPerUser")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one association, account or QOS; what is not limited is missing.

    TRES go by Slurm's names, memory is in bytes.

    Attributes:
        job: what one job may hold.
        node: what one job may hold on one node.
        group: what all jobs under it may hold together.
        job_minutes: TRES minutes of one job.
        group_minutes: TRES minutes of all jobs together.
        user: what all jobs of one user may hold together (QOS only).
        wall_s: longest time limit; None = no limit.
        max_jobs, max_submitted: jobs that may run, and be in the queue; None = no limit.
    """

    job: Mapping[str, int] = {}
    node: Mapping[str, int] = {}
    group: Mapping[str, int] = {}
    job_minutes: Mapping[str, int] = {}
    group_minutes: Mapping[str, int] = {}
    user: Mapping[str, int] = {}
    wall_s: int | None = None
    max_jobs: int | None = None
    max_submitted: int | None = None


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """A user in an account, everywhere (no partition) or in one partition."""

    account: str
    partition: str = ""
    qos: tuple[str, ...] = ()
    default_qos: str = ""
    limits: Limits = Limits()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account with the one above it (empty at the top), its default QOS, and what its members share."""

    parent: str = ""
    default_qos: str = ""
    limits: Limits = Limits()


class Qos(msgspec.Struct, frozen=True, kw_only=True):
    """A QOS.

    What it means for preemption has no default: a kept answer that does not say it must not be read as one
    that says "nobody".

    Attributes:
        preempts: the QOS whose jobs its own may preempt (under PreemptType=preempt/qos only).
        preempt_mode: what happens to its preempted jobs: ``REQUEUE``, ``WITHIN,CANCEL``, ...; ``CLUSTER`` =
            what the cluster's default says.
        grace_time_s: the time they get, seconds.
        limits: its limits.
        over_partition: they go before those of a partition's own QOS.
    """

    preempts: tuple[str, ...]
    preempt_mode: str
    grace_time_s: int
    limits: Limits = Limits()
    over_partition: bool = False


def show_user(user: str, cluster: str) -> list[str]:
    """Return the command for a user's default account and associations on a cluster."""
    columns = f"format=DefaultAccount,Account,Partition,QOS,DefaultQOS,{_LIMITS}"
    return show_accounting("user", f"name={user}", "withassoc", f"cluster={cluster}", columns)


def show_account_limits(cluster: str) -> list[str]:
    """Return the command for what the accounts of a cluster share; an empty user = accounts only."""
    columns = f"format=Account,ParentName,DefaultQOS,{_LIMITS}"
    return show_accounting("associations", f"cluster={cluster}", "user=", columns)


def show_qos() -> list[str]:
    """Return the command for all QOS."""
    preemption = "Preempt,PreemptMode,GraceTime"
    return show_accounting("qos", f"format=Name,Flags,{preemption},{_QOS_LIMITS},MaxTRESPerUser")


def parse_user(text: str) -> tuple[str, tuple[Association, ...]]:
    """Return the default account (empty = none) and the associations of :func:`show_user`."""
    default, found = "", []
    for row in _rows(text, 13):
        default = text_or_empty(row[0])
        if row[1]:
            found.append(
                Association(
                    account=row[1],
                    partition=row[2],
                    qos=tuple(filter(None, row[3].split(","))),
                    default_qos=row[4],
                    limits=_limits(row[5:]),
                )
            )
    return default, tuple(found)


def parse_account_limits(text: str) -> dict[str, Account]:
    """Return account -> its limits of :func:`show_account_limits`."""
    return {
        row[0]: Account(parent=text_or_empty(row[1]), default_qos=row[2], limits=_limits(row[3:]))
        for row in _rows(text, 11)
    }


def parse_qos(text: str) -> dict[str, Qos]:
    """Return name -> QOS of :func:`show_qos`."""
    return {
        row[0]: Qos(
            preempts=parse_names(row[2]),
            preempt_mode=row[3].upper() or "CLUSTER",
            grace_time_s=parse_limit(row[4]) or 0,
            limits=msgspec.structs.replace(_limits(row[5:13]), user=_tres(row[13])),
            over_partition="OverPartQOS" in row[1].split(","),
        )
        for row in _rows(text, 14)
    }


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    rows = (line.split(_SEPARATOR) for line in text.splitlines())
    return (row for row in rows if len(row) == columns)


def _limits(row: list[str]) -> Limits:
    job, node, group, job_minutes, group_minutes, wall, jobs, submitted = row[:8]
    return Limits(
        job=_tres(job),
        node=_tres(node),
        group=_tres(group),
        job_minutes=_tres(job_minutes),
        group_minutes=_tres(group_minutes),
        wall_s=parse_time_limit(wall) if wall else None,
        max_jobs=_number(jobs),
        max_submitted=_number(submitted),
    )


def _tres(text: str) -> dict[str, int]:
    """Return the limits of ``cpu=64,mem=100G,gres/gpu:a100=2``; what cannot be read limits nothing."""
    found = {}
    for entry in filter(None, text.split(",")):
        name, _, value = entry.partition("=")
        try:
            found[name] = parse_memory(value) if name == "mem" else int(value)
        except (UnitError, ValueError):
            continue
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
