"""The ledger beside Slurm's own sums, each difference with what may be behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.ledger.capacity_book import reservations_of
from mlcost_accounting.ledger.overlap import first_start, overlapping_runs, runs_of_users
from mlcost_accounting.limit_usage import HALF_LIVES, RESOURCES, Expected, expect, judge
from mlcost_hpc.slurm.decay import UsageDecay
from mlcost_hpc.slurm.usage_reports import Counted
from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger


HOUR_S = 3600


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
        limits_expected_s: seconds x amount that it should count by the ledger, decayed and scaled.
        limits_unexplained_s: how much more, or less, it counts than anything known allows.
        limits_reasons: why it does not count what the runs held, each with its size.
    """

    account: str
    resource: str
    ledger_s: int
    sreport_s: int
    difference_s: int
    limits_min: int
    reasons: tuple[str, ...]
    # An older comparison that was kept has none of these.
    limits_expected_s: int = 0
    limits_unexplained_s: int = 0
    limits_reasons: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller counts against limits, and how it does.

    Attributes:
        counted: account -> user -> minutes.
        decay: its settings.
        factors: QOS -> UsageFactor.
        asked: when it was asked, UTC seconds.
        reset: when usage last began anew by the calendar, UTC seconds; 0 = never.
        earlier: account -> ``cpu`` and ``gpu`` seconds by sreport up to where the ledger begins.
        begins: up to when that is, UTC seconds, a full hour.
    """

    counted: Mapping[str, Mapping[str, Counted]]
    decay: UsageDecay
    factors: Mapping[str, Fraction]
    asked: int
    reset: int = 0
    earlier: Mapping[str, Mapping[str, int]] = {}
    begins: int = 0

    @property
    def since(self) -> int:
        """From when on runs matter: the reset, or so long ago that nothing is left."""
        return max(
            self.reset, self.asked - HALF_LIVES * self.decay.half_life_s if self.decay.half_life_s else 0
        )

    def left_of_earlier(self, account: str, resource: str, known_s: int) -> float:
        """Return the most that can be left of use that the ledger does not know, seconds x amount.

        Args:
            account: the account.
            resource: ``cpu`` or ``gpu``.
            known_s: what of that time the ledger does know.
        """
        used = max(0, self.earlier.get(account, {}).get(resource, 0) - known_s)
        largest = float(max(self.factors.values(), default=Fraction(1)))
        return used * max(largest, 1.0) * self.decay.kept(self.asked - self.begins)


def hours_before(ledger: Ledger, cluster: str, since: int, now: int) -> tuple[int, int] | None:
    """Return the full hours from ``since`` to where the ledger begins, UTC seconds; None = there are none.

    sreport counts in full hours that are over: the one in which the first run began is among them, for runs
    that had ended before.
    """
    first = first_start(ledger, cluster)
    begins = min(now if first is None else -(-first // HOUR_S) * HOUR_S, now // HOUR_S * HOUR_S)
    # sreport takes the very first second as "not given".
    start = max(since, 24 * HOUR_S) // HOUR_S * HOUR_S
    return (start, begins) if start < begins else None


def compare(
    ledger: Ledger,
    cluster: str,
    start: int,
    end: int,
    sreport: Mapping[str, Mapping[str, int]],
    limits: Limits,
) -> list[Comparison]:
    """Return ledger and Slurm side by side, by account.

    Args:
        ledger: the ledger.
        cluster: the cluster.
        start: UTC seconds, a full hour.
        end: the same.
        sreport: account -> ``cpu`` and ``gpu`` seconds.
        limits: what the controller counts.
    """
    sums = _sums(ledger, cluster, start, end)
    expected: dict[str, dict[str, dict[str, Expected]]] = {}
    runs = runs_of_users(ledger, cluster, limits.since, limits.asked) if limits.decay.counts else ()
    for (account, user), mine in expect(
        runs, limits.decay, limits.factors, limits.since, limits.asked
    ).items():
        expected.setdefault(account, {})[user] = mine
    used = (account for account, found in sums.items() if any(found.used.values()))
    counted = (
        account
        for account, users in limits.counted.items()
        if any(any(user.minutes.values()) for user in users.values())
    )
    first = first_start(ledger, cluster) or end
    known = _sums(ledger, cluster, limits.since, limits.begins) if limits.earlier else {}
    rows = []
    for account in sorted({*sreport, *used, *counted, *expected}):
        users = limits.counted.get(account, {})
        found = sums.get(account, _Sums())
        for resource in RESOURCES:
            ours, theirs = found.used[resource], sreport.get(account, {}).get(resource, 0)
            verdict = judge(
                expected.get(account, {}),
                users,
                resource,
                limits.decay,
                limits.reset,
                limits.left_of_earlier(account, resource, known.get(account, _Sums()).used[resource]),
            )
            rows.append(
                Comparison(
                    account=account,
                    resource=resource,
                    ledger_s=ours,
                    sreport_s=theirs,
                    difference_s=ours - theirs,
                    limits_min=sum(user.minutes[resource] for user in users.values()),
                    reasons=tuple(found.reasons(resource, ours - theirs, first if first > start else 0)),
                    limits_expected_s=verdict.expected_s,
                    limits_unexplained_s=verdict.unexplained_s,
                    limits_reasons=verdict.reasons,
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

    def reasons(self, resource: str, difference: int, late: int) -> list[str]:
        """Return what can be behind a difference, largest first.

        Args:
            resource: ``cpu`` or ``gpu``.
            difference: ledger less sreport.
            late: when the ledger's first run began, UTC seconds; 0 = before the window.
        """
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
        if difference < 0 and late:
            named.append(f"the ledger's first run began at {datetime.fromtimestamp(late, UTC).isoformat()}")
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
