"""Slurm's own sums of usage: ``sreport``, ``scontrol show assoc_mgr`` (argument lists, parsers; pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

_SREPORT_TRES = {"cpu": "cpu", "gres/gpu": "gpu"}
_ASSOCIATION = re.compile(r"^ClusterName=\S+ Account=(?P<account>\S+) UserName=(?P<user>\S*?)(?:\(\d+\))? ")
_USED = re.compile(r"([\w/:.-]+)=[^(,]*\((\d+)\)")


def sreport_accounts(cluster: str, start: int, end: int) -> list[str]:
    """Return the command for CPU and GPU seconds by account and user; run it with ``TZ=UTC``.

    Args:
        cluster: the cluster.
        start: UTC seconds, a full hour: sreport counts in hours.
        end: the same.
    """
    return [
        "sreport", "--noheader", "--parsable2", "-t", "Seconds", "-T", "cpu,gres/gpu", "cluster",
        "AccountUtilizationByUser", f"cluster={cluster}", f"start={_local(start)}", f"end={_local(end)}",
        "format=Account,Login,TRESName,Used",
    ]  # fmt: skip


def parse_sreport(text: str) -> dict[str, dict[str, int]]:
    """Return account -> ``cpu`` and ``gpu`` seconds, what its own users used (not the accounts below it)."""
    used: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 4 or not fields[1] or fields[2] not in _SREPORT_TRES:
            continue
        sums = used.setdefault(fields[0], {"cpu": 0, "gpu": 0})
        sums[_SREPORT_TRES[fields[2]]] += int(fields[3] or 0)
    return used


def show_associations() -> list[str]:
    """Return the command for what the controller counts against limits."""
    return ["scontrol", "show", "assoc_mgr", "flags=assoc"]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller counts against limits for one account and user.

    Attributes:
        minutes: ``cpu`` and ``gpu`` minutes, summed over the associations.
        associations: how many there are (one for each partition that has its own).
    """

    minutes: Mapping[str, int]
    associations: int = 1


def parse_associations(text: str) -> dict[str, dict[str, Counted]]:
    """Return account -> user -> what counts against limits.

    These are whole minutes, rounded down for each association; they decay (PriorityDecayHalfLife), are
    scaled by UsageFactor and begin anew at the controller's reset.
    """
    used: dict[str, dict[str, Counted]] = {}
    account, user = "", ""
    for line in text.splitlines():
        match = _ASSOCIATION.match(line)
        if match:
            account, user = match["account"], match["user"]
        elif user and line.strip().startswith("GrpTRESMins="):
            counts = dict(_USED.findall(line.strip().removeprefix("GrpTRESMins=")))
            mine = used.setdefault(account, {})
            before = mine.get(user) or Counted(minutes={"cpu": 0, "gpu": 0}, associations=0)
            mine[user] = Counted(
                minutes={
                    resource: before.minutes[resource] + int(counts.get(name, 0))
                    for name, resource in _SREPORT_TRES.items()
                },
                associations=before.associations + 1,
            )
    return used


def _local(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
