"""Where a user may submit, by what the partitions and the user's associations say (pure)."""

from __future__ import annotations

import grp
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.launch.limits import association_for, qos_of
from mlcost_hpc.launch.rights import UNKNOWN
from mlcost_hpc.people import user_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.rights import Rights
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
    return User(name=user_name(), groups=frozenset(groups))


def barred_partitions(
    partitions: Iterable[Partition],
    need: Need,
    user: User,
    rights: Rights = UNKNOWN,
    enforce: Collection[str] = (),
) -> dict[str, str]:
    """Return partition -> why this user may not submit there; what is not known bars nobody.

    Args:
        partitions: the partitions.
        need: with the account and the QOS that are asked for.
        user: who submits.
        rights: the user's associations.
        enforce: AccountingStorageEnforce: which of these rights Slurm insists on.
    """
    found = {}
    for partition in partitions:
        why = _barred(partition, need, user, rights) or _without_right(partition, need, rights, enforce)
        if why:
            found[partition.name] = why
    return found


def enforces(enforce: Collection[str], what: Literal["associations", "limits", "qos"]) -> bool:
    """Tell whether Slurm insists on associations, limits or QOS; ``safe`` means limits too."""
    implied = {
        "associations": {"associations", "limits", "safe", "qos", "wckeys", "all"},
        "limits": {"limits", "safe", "all"},
        "qos": {"qos", "all"},
    }
    return not implied[what].isdisjoint(enforce)


def _barred(partition: Partition, need: Need, user: User, rights: Rights) -> str:
    account = (need.account or rights.default_account or user.default_account).lower()
    qos = qos_of(rights, need, partition.name)
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
    if qos and _is_outside({qos}, partition.allow_qos):
        return f"{name} does not allow QOS {qos} (it allows {', '.join(partition.allow_qos or ())})"
    if qos in partition.deny_qos:
        return f"{name} does not allow QOS {qos}"
    return ""


def _without_right(partition: Partition, need: Need, rights: Rights, enforce: Collection[str]) -> str:
    """Return why the user's associations keep a job out; empty when they do not, or are unknown."""
    if rights.associations is None or not enforces(enforce, "associations"):
        return ""
    account = (need.account or rights.default_account).lower()
    own = association_for(rights, account, partition.name)
    if own is None:
        mine = ", ".join(sorted({item.account for item in rights.associations}))
        return f"you are not in account {account or '(no default account)'} here (you are in {mine})"
    if need.qos and enforces(enforce, "qos") and need.qos not in own.qos:
        return f"QOS {need.qos} is not yours in account {account} (yours: {', '.join(own.qos) or 'none'})"
    if enforces(enforce, "limits") and 0 in (own.limits.max_jobs, own.limits.max_submitted):
        return f"account {account} lets you have no jobs (MaxJobs or MaxSubmitJobs is 0)"
    return ""


def _is_outside(mine: Collection[str] | None, allowed: Collection[str] | None) -> bool:
    return mine is not None and allowed is not None and not set(mine) & set(allowed)
