"""Usage as the controller adds it up against limits, worked out from the ledger's runs (pure)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction
    from typing import Any

    from mlcost_hpc.slurm.decay import UsageDecay
    from mlcost_hpc.slurm.usage_reports import Counted

RESOURCES = ("cpu", "gpu")
HALF_LIVES = 32
"""Use older than this many half-lives is not looked at: less than a 10^-9 part of it is left."""


class Expected(msgspec.Struct):
    """What an account's user should have against limits of one resource, all in seconds x amount.

    Attributes:
        held: what the ledger has as used: no suspended time of CPUs.
        suspended: that time: the controller counts it. [measured on 22.05 and 26.05: 112 s of
            a job that ran 3 s and was suspended 109 s]
        factored: both, with each QOS's UsageFactor.
        kept: the same after decay: what the controller should have, if it had added up just now.
        running: the most that may be missing because running jobs are added up now and then only.
        ahead: the most that may be on top of it since the ledger last read the runs that are open.
    """

    held: float = 0.0
    suspended: float = 0.0
    factored: float = 0.0
    kept: float = 0.0
    running: float = 0.0
    ahead: float = 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One account and resource.

    Attributes:
        expected_s: what should be counted by the ledger, seconds x amount.
        unexplained_s: how much more (or less: negative) is counted than anything known allows.
        reasons: why it is not what the runs held, each with its size.
    """

    expected_s: int = 0
    unexplained_s: int = 0
    reasons: tuple[str, ...] = ()


def expect(
    runs: Iterable[Mapping[str, Any]],
    decay: UsageDecay,
    factors: Mapping[str, Fraction],
    since: int,
    now: int,
) -> dict[tuple[str, str], dict[str, Expected]]:
    """Return (account, user) -> resource -> what the controller should have counted.

    Args:
        runs: what ``runs_of_users`` gives.
        decay: the controller's settings.
        factors: QOS -> UsageFactor; 1 for others.
        since: when usage began anew, UTC seconds.
        now: when the controller was asked.
    """
    found: dict[tuple[str, str], dict[str, Expected]] = {}
    for run in runs:
        begin = max(run["started"], since)
        end = min(run["started"] + run["elapsed_s"] + run["suspended_s"], now)
        if run["closed"] and end <= begin:
            continue
        end = max(begin, end)
        tres = parse_tres(run["tres"])
        factor = float(factors.get(run["qos"], 1))
        mine = found.setdefault(
            (run["account"], run["user"]), {resource: Expected() for resource in RESOURCES}
        )
        wall = end - begin
        paused = wall * run["suspended_s"] / max(run["elapsed_s"] + run["suspended_s"], 1)
        for resource, amount, suspended in (("cpu", tres.cpus, paused), ("gpu", tres.gpus, 0)):
            sums = mine[resource]
            sums.held += amount * (wall - suspended)
            sums.suspended += amount * suspended
            sums.factored += amount * factor * wall
            sums.kept += amount * factor * _kept_seconds(decay, now - end, now - begin)
            if not run["closed"]:
                sums.running += amount * factor * min(decay.calc_period_s, wall)
                sums.ahead += amount * factor * (now - end)
    return found


def _kept_seconds(decay: UsageDecay, young: int, old: int) -> float:
    """Return what is left of the seconds between two ages."""
    if not decay.half_life_s:
        return float(old - young)
    rate = -math.log1p(-0.693 / decay.half_life_s)
    return decay.kept(young) * -math.expm1(-rate * (old - young)) / rate


def judge(
    expected: Mapping[str, Mapping[str, Expected]],
    counted: Mapping[str, Counted],
    resource: str,
    decay: UsageDecay,
    since: int,
    earlier_s: float = 0.0,
) -> Verdict:
    """Return how what is counted for an account follows from its runs.

    Args:
        expected: user -> resource -> what should be counted.
        counted: user -> what is counted.
        resource: ``cpu`` or ``gpu``.
        decay: the controller's settings.
        since: when usage began anew by the calendar; 0 = never.
        earlier_s: the most that can be left of use before the ledger begins, seconds x amount.
    """
    if not decay.counts:
        return Verdict(reasons=("not compared: without priority/multifactor Slurm adds nothing up",))
    total, unexplained, reasons, minutes, associations, early_s = Expected(), 0.0, [], 0, 0, 0.0
    for user in sorted({*expected, *counted}):
        mine = expected.get(user, {}).get(resource, Expected())
        for field in Expected.__struct_fields__:
            setattr(total, field, getattr(total, field) + getattr(mine, field))
        theirs = counted.get(user)
        if theirs is None:
            if mine.kept:
                reasons.append(f"{user} has no association that is shown: {_minutes(-mine.kept)}")
            continue
        minutes += theirs.minutes.get(resource, 0)
        associations += theirs.associations if mine.kept else 0
        off = _outside(mine, theirs.minutes.get(resource, 0), theirs.associations, decay)
        early = min(max(off, 0.0), earlier_s - early_s)
        early_s += early
        off -= early
        if off:
            unexplained += off
            reasons.append(f"unexplained for {user}: {_minutes(off)}")
    if early_s:
        most = _minutes(earlier_s)
        reasons.append(
            f"use before the ledger begins: {_minutes(early_s)} (sreport's hours allow up to {most})"
        )
    if round(total.held) != 60 * minutes:
        reasons.extend(_parts(total, associations, decay, since))
    return Verdict(expected_s=round(total.kept), unexplained_s=round(unexplained), reasons=tuple(reasons))


def _outside(mine: Expected, minutes: int, associations: int, decay: UsageDecay) -> float:
    """Return by how many seconds a count is above or below all that is possible; 0 = it is possible.

    The controller was last at its sums up to one period ago, so that decay is known to a period only.
    """
    period = decay.kept(decay.calc_period_s)
    high = mine.kept / period + mine.ahead
    low = mine.kept * period - mine.running
    if 60 * minutes > high + 1e-3:
        return 60 * minutes - high
    if 60 * (minutes + associations) <= low - 1e-3:
        return 60 * (minutes + associations) - low
    return 0.0


def _parts(total: Expected, associations: int, decay: UsageDecay, since: int) -> list[str]:
    taken = total.factored - total.held - total.suspended
    parts = [
        (total.suspended, "suspended time counts: {:+.2f} min"),
        (taken, "UsageFactor of the QOS: {:+.2f} min"),
        (total.kept - total.factored, f"decay with a half-life of {decay.half_life_s} s: {{:+.2f}} min"),
        (total.running, f"running jobs are added up every {decay.calc_period_s} s: up to {{:.2f}} min less"),
        (total.ahead, "running jobs since the ledger read them: up to {:.2f} min more"),
        (60.0 * associations, "rounding down to whole minutes: less than {:.0f} min"),
    ]
    named = [
        words.format(size / 60)
        for size, words in sorted(parts, key=lambda part: -abs(part[0]))
        if abs(size) >= 0.6  # a hundredth of a minute
    ]
    if since:
        day = datetime.fromtimestamp(since, UTC).isoformat()
        named.append(f"PriorityUsageResetPeriod={decay.reset_period}: only use since {day}")
    if decay.reset_period == "NOW":
        named.append("PriorityUsageResetPeriod=NOW: usage was cleared at a time that Slurm does not tell")
    return named


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:+.2f} min"
