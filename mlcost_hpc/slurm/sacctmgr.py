"""What ``sacctmgr`` tells of accounts and users: argument lists and parsers (pure)."""

from __future__ import annotations

import msgspec

from mlcost_hpc.slurm.commands import show_accounting
from mlcost_hpc.slurm.values import parse_limit, text_or_empty

_SEPARATOR = "|"  # accounts and users cannot hold it


def show_accounts(cluster: str) -> list[str]:
    """Return the command for the tree of accounts of a cluster."""
    return show_accounting("associations", f"cluster={cluster}", "format=Account,ParentName,User")


def parse_accounts(text: str) -> dict[str, str]:
    """Return account -> the account above it; empty = it is at the top."""
    parents: dict[str, str] = {}
    for line in text.splitlines():
        account, _, rest = line.partition(_SEPARATOR)
        parent, _, user = rest.partition(_SEPARATOR)
        if account and not user:
            parents[account] = text_or_empty(parent)
    return parents


def show_admin_level(user: str) -> list[str]:
    """Return the command for a user's rights over the accounting."""
    return show_accounting("user", f"name={user}", "format=AdminLevel")


def sees_all_jobs(text: str, uid: int) -> bool:
    """Return True for a user who sees private job data: an operator, an administrator, root."""
    levels = [line.strip().lower() for line in text.splitlines()]
    return uid == 0 or any(level.startswith(("operator", "admin")) for level in levels)


class Qos(msgspec.Struct, frozen=True, kw_only=True):
    """A quality of service, as far as preemption goes.

    Attributes:
        name: its name.
        preempts: the QOS whose jobs its own may preempt.
        preempt_mode: what happens to its preempted jobs; ``CLUSTER`` = what the cluster's default says.
        grace_time_s: the time they get, seconds.
    """

    name: str
    preempts: tuple[str, ...] = ()
    preempt_mode: str = "CLUSTER"
    grace_time_s: int = 0


def show_qos() -> list[str]:
    """Return the command for what every QOS means for preemption."""
    return show_accounting("qos", "format=Name,Preempt,PreemptMode,GraceTime")


def parse_qos(text: str) -> tuple[Qos, ...]:
    """Return every QOS of the answer; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        words = line.split(_SEPARATOR)
        if len(words) != 4 or not words[0]:
            continue
        name, preempts, mode, grace = words
        found.append(
            Qos(
                name=name,
                preempts=tuple(filter(None, preempts.split(","))),
                preempt_mode=mode.upper() or "CLUSTER",
                grace_time_s=parse_limit(grace) or 0,
            )
        )
    return tuple(found)
