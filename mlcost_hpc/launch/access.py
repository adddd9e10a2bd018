"""Where a user may submit, by what the partitions themselves say.

Limits of associations are not looked at: sbatch says them in its own words, and a job that waits for one is
shown with its reason by `mlcost status`.
"""

from __future__ import annotations

import getpass
import grp
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.slurm.api import Partition


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who submits.

    Attributes:
        name: user name.
        groups: Unix groups; None = not known.
        accounts: accounts the user has; None = not known.
        default_account: account of a job that names none; empty = not known.
    """

    name: str
    groups: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    default_account: str = ""


def current_user() -> User:
    """Return who runs this process; its accounts are not asked for."""
    groups = set()
    for number in {os.getegid(), *os.getgroups()}:
        with suppress(KeyError):  # a group without a name cannot be in a partition's list
            groups.add(grp.getgrgid(number).gr_name)
    return User(name=getpass.getuser(), groups=frozenset(groups))


def barred_partitions(partitions: Iterable[Partition], need: Need, user: User) -> dict[str, str]:
    """Return partition -> why this user may not submit there; what is not known bars nobody."""
    found = {}
    for partition in partitions:
        why = _barred(partition, need, user)
        if why:
            found[partition.name] = why
    return found


def _barred(partition: Partition, need: Need, user: User) -> str:
    account = (need.account or user.default_account).lower()
    name = partition.name
    if partition.needs_reservation:
        return f"{name} takes jobs in reservations only"
    if user.name == "root":
        return ""
    if _is_outside(user.groups, partition.allow_groups):
        return f"{name} is for the groups {', '.join(partition.allow_groups or ())} only"
    if account and _is_outside({account}, partition.allow_accounts):
        return f"{name} is not for account {account} (it allows {', '.join(partition.allow_accounts or ())})"
    if account in partition.deny_accounts:
        return f"{name} is not for account {account}"
    if need.qos and _is_outside({need.qos}, partition.allow_qos):
        return f"{name} does not allow QOS {need.qos} (it allows {', '.join(partition.allow_qos or ())})"
    if need.qos in partition.deny_qos:
        return f"{name} does not allow QOS {need.qos}"
    return ""


def _is_outside(mine: Collection[str] | None, allowed: Collection[str] | None) -> bool:
    return mine is not None and allowed is not None and not set(mine) & set(allowed)
