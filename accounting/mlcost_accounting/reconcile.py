"""The ledger beside Slurm's own sums, each difference with what may be behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.ledger.capacity_book import reservations_of
from mlcost_accounting.ledger.overlap import overlapping_runs
from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_accounting.ledger.store import Ledger


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One account and resource.

    Attributes:
        account: the account.
        resource: ``cpu`` or ``gpu``.
        ledger_s: seconds x amount in the ledger, within the window.
        sreport_s: the same by sreport.
        difference_s: ledger less sreport.
        limits_min: minutes that the controller counts against limits now.
        reasons: what is known to make such figures differ, each with its size.
    """

    account: str
    resource: str
    ledger_s: int
    sreport_s: int
    difference_s: int
    limits_min: int
    reasons: tuple[str, ...]


def compare(
    ledger: Ledger,
    cluster: str,
    start: int,
    end: int,
    sreport: Mapping[str, Mapping[str, int]],
    limits: Mapping[str, Mapping[str, int]],
) -> list[Comparison]:
    """Return ledger and Slurm side by side, by account.

    Args:
        ledger: the ledger.
        cluster: the cluster.
        start: UTC seconds, a full hour.
        end: the same.
        sreport: account -> ``cpu`` and ``gpu`` seconds.
        limits: account -> ``cpu`` and ``gpu`` minutes.
    """
    sums = _sums(ledger, cluster, start, end)
    accounts = sorted({*sreport, *(account for account, mine in sums.items() if any(mine.used.values()))})
    rows = []
    for account in accounts:
        for resource in ("cpu", "gpu"):
            mine = sums.get(account, _Sums())
            ours, theirs = mine.used[resource], sreport.get(account, {}).get(resource, 0)
            rows.append(
                Comparison(
                    account=account,
                    resource=resource,
                    ledger_s=ours,
                    sreport_s=theirs,
                    difference_s=ours - theirs,
                    limits_min=limits.get(account, {}).get(resource, 0),
                    reasons=tuple(mine.reasons(resource, ours - theirs)),
                )
            )
    return rows


class _Sums:
    """What an account's runs used, and the parts of it that Slurm's sums treat otherwise."""

    def __init__(self) -> None:
        self.used = {"cpu": 0, "gpu": 0}
        self.requeued = {"cpu": 0, "gpu": 0}
        self.suspended = {"cpu": 0, "gpu": 0}
        self.reserved = {"cpu": 0, "gpu": 0}
        self.open = {"cpu": 0, "gpu": 0}

    def reasons(self, resource: str, difference: int) -> list[str]:
        """Return what can be behind a difference, largest first."""
        if not difference:
            return []
        sizes = {
            "runs that were requeued (rows that only --duplicates shows)": self.requeued[resource],
            "suspended time (Slurm takes it from CPUs only)": self.suspended[resource],
            "time of reservations (what of it is unused sreport books on the users who may use them)": (
                self.reserved[resource]
            ),
            "runs still open (sreport counts them up to the last full hour)": self.open[resource],
        }
        named = [
            f"{what}: {size} s" for what, size in sorted(sizes.items(), key=lambda item: -item[1]) if size
        ]
        return named or ["the hour is not rolled up yet, or rows reached slurmdbd late (sacctmgr show stats)"]


def _sums(ledger: Ledger, cluster: str, start: int, end: int) -> dict[str, _Sums]:
    sums: dict[str, _Sums] = {}
    for run in overlapping_runs(ledger, cluster, start, end):
        held_s = run["elapsed_s"] + run["suspended_s"]
        begin = max(run["started"], start)
        wall = min(run["started"] + held_s, end) - begin
        if wall <= 0:
            continue
        tres = parse_tres(run["tres"])
        paused = wall * run["suspended_s"] // held_s
        found = sums.setdefault(run["account"], _Sums())
        for resource, amount, seconds in (("cpu", tres.cpus, wall - paused), ("gpu", tres.gpus, wall)):
            found.used[resource] += amount * seconds
            found.suspended[resource] += amount * paused
            if run["state"] in ("REQUEUED", "PREEMPTED", "NODE_FAIL"):
                found.requeued[resource] += amount * seconds
            if not run["closed"]:
                found.open[resource] += amount * seconds
    for held in reservations_of(ledger, cluster, start, end):
        if held.maintenance:
            continue
        seconds = min(held.ended, end) - max(held.started, start)
        for account, _ in held.holders:
            # sreport knows only the CPUs of a reservation.
            sums.setdefault(account, _Sums()).reserved["cpu"] += held.cpus * seconds
    return sums
