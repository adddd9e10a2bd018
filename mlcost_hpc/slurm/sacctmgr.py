"""What ``sacctmgr`` tells of accounts and users: argument lists and parsers (pure)."""

from __future__ import annotations

from mlcost_hpc.slurm.commands import show_accounting
from mlcost_hpc.slurm.values import text_or_empty

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
