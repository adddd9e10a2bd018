"""What the user's associations allow: three questions to sacctmgr in a quarter of an hour at most."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import SlurmError
from mlcost_hpc.launch.kept import keep_file
from mlcost_hpc.slurm.associations import (
    Account,
    Association,
    Qos,
    parse_account_limits,
    parse_qos,
    parse_user,
    show_account_limits,
    show_qos,
    show_user,
)
from mlcost_hpc.slurm.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEEP_S = 900
_PATIENCE_S = 15.0


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may do on a cluster.

    Attributes:
        default_account: account of a job that names none; empty = not known.
        associations: the user's; None = not known.
        accounts: account -> what its members share.
        qos: QOS by name.
        taken: UTC seconds when it was asked.
        note: what is not known, for a person; empty when all is.
    """

    default_account: str = ""
    associations: tuple[Association, ...] | None = None
    accounts: Mapping[str, Account] = {}
    qos: Mapping[str, Qos] = {}
    taken: int = 0
    note: str = ""


UNKNOWN = Rights()


def read_rights(
    ask: Callable[[Sequence[str]], str], user: str, cluster: str, path: Path, now: int | None = None
) -> Rights:
    """Return a user's rights on a cluster, from the kept file while it is fresh.

    Args:
        ask: runs a command and returns what it prints.
        user: user name.
        cluster: cluster name.
        path: where they are kept.
        now: UTC seconds; None = the clock.
    """
    moment = int(time.time()) if now is None else now
    kept = _kept(path)
    if kept is not None and 0 <= moment - kept.taken < KEEP_S:
        return kept
    try:
        default, associations = parse_user(ask(show_user(user, cluster)))
        accounts = parse_account_limits(ask(show_account_limits(cluster)))
        qos = parse_qos(ask(show_qos()))
    except SlurmError as error:
        return Rights(note=f"what your associations allow is not known: {error}")
    rights = Rights(
        default_account=default,
        associations=associations or None,
        accounts=accounts,
        qos=qos,
        taken=moment,
        note=_unknown(user, associations, accounts),
    )
    with suppress(OSError):  # a full home folder must not keep anybody from submitting
        keep_file(path, msgspec.json.encode(rights))
    return rights


def ask_sacctmgr(argv: Sequence[str]) -> str:
    """Return what a question to the accounting prints; it is not waited for long, for it decides little.

    Raises:
        SlurmError: when it fails.
    """
    return run(argv, timeout_s=_PATIENCE_S).stdout


def line_of(account: str, accounts: Mapping[str, Account]) -> tuple[list[str], bool]:
    """Return an account and those above it, and whether that is all of them (pure)."""
    line: list[str] = []
    while account and account not in line:
        if account not in accounts:
            return line, False
        line.append(account)
        account = accounts[account].parent
    return line, True


def _unknown(user: str, associations: tuple[Association, ...], accounts: Mapping[str, Account]) -> str:
    if not associations:
        return f"Slurm shows no association of {user}: what it may use is not known"
    hidden = sorted({item.account for item in associations if not line_of(item.account, accounts)[1]})
    if hidden:
        return f"Slurm does not show what the accounts above you share ({', '.join(hidden)})"
    return ""


def _kept(path: Path) -> Rights | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rights)
    except (OSError, msgspec.MsgspecError):
        return None  # missing or of another version: it is asked for again
