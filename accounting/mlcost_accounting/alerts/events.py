"""When somebody should be told (pure): thresholds with hysteresis, expected overruns, unusual days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_accounting.budgets.records import lasting
from mlcost_hpc.budgets import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.anomaly import Anomaly
    from mlcost_accounting.budgets.records import BudgetStatus

HYSTERESIS = 5
"""Percentage points below a threshold (after a refund, say) from which crossing it counts again."""

OVERRUN = "overrun"
"""Name of the watch on the forecast; thresholds are named by their number."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell.

    Attributes:
        key: the same for the same event; an event is told once.
        kind: what it is about.
        target: ``account nlp``, ``user ana``, ...
        subject: one line.
        body: a few lines.
    """

    key: str
    kind: Literal["threshold", "overrun", "anomaly"]
    target: str
    subject: str
    body: str


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one budget in one period.

    Attributes:
        budget: its name.
        period: first day of the period, ISO.
        crossed: names of the thresholds that are crossed.
        crossings: name -> how often each was crossed; part of an event's key.
    """

    budget: str
    period: str
    crossed: frozenset[str] = frozenset()
    crossings: tuple[tuple[str, int], ...] = ()


def watch_budget(
    status: BudgetStatus, watch: Watch | None, currency: str, today: str
) -> tuple[list[Event], Watch]:
    """Return what to tell about a budget, and what to remember.

    Crossing several thresholds at once tells the highest only.

    Args:
        status: where the budget stands.
        watch: what was remembered; None or that of another period = nothing is crossed.
        currency: of money.
        today: the site's day, ISO.
    """
    period = status.period.first.isoformat()
    if watch is None or watch.period != period:
        watch = Watch(budget=status.budget.name, period=period)
    counts = dict(watch.crossings)
    crossed = set(watch.crossed)
    fresh: list[int] = []
    for threshold in sorted(status.budget.alert_percent):
        name = str(threshold)
        if name in crossed and status.percent < threshold - HYSTERESIS:
            crossed.discard(name)
        elif name not in crossed and status.percent >= threshold:
            crossed.add(name)
            counts[name] = counts.get(name, 0) + 1
            fresh.append(threshold)
    events = [_threshold_event(status, fresh[-1], counts[str(fresh[-1])], currency)] if fresh else []
    events += _overrun(status, crossed, counts, currency, today)
    return events, Watch(
        budget=watch.budget,
        period=period,
        crossed=frozenset(crossed),
        crossings=tuple(sorted(counts.items())),
    )


def anomaly_event(target: str, anomaly: Anomaly, causes: Sequence[str], currency: str) -> Event:
    """Return what to tell about an unusual day.

    Args:
        target: whose spending, for instance ``account nlp``.
        anomaly: the day.
        causes: lines that say what was dear on that day.
        currency: of money.
    """
    amount, usual = (format_amount(value, "money", currency) for value in (anomaly.amount, anomaly.usual))
    subject = f"{target}: {amount} on {anomaly.day}, usually {usual} a day"
    return Event(
        key=f"anomaly/{target}/{anomaly.day}",
        kind="anomaly",
        target=target,
        subject=subject,
        body="\n".join([f"{subject}.", *(["Most of it:"] if causes else []), *causes]),
    )


def _threshold_event(status: BudgetStatus, threshold: int, count: int, currency: str) -> Event:
    budget = status.budget
    word = "used up" if threshold >= 100 else f"{threshold} % used"
    return Event(
        key=f"budget/{budget.name}/{status.period.first}/{threshold}/{count}",
        kind="threshold",
        target=f"{budget.scope} {budget.target}",
        subject=f"budget {budget.name} ({budget.scope} {budget.target}, {status.period.label}): {word}",
        body=describe(status, currency),
    )


def _overrun(
    status: BudgetStatus, crossed: set[str], counts: dict[str, int], currency: str, today: str
) -> list[Event]:
    """Return the event that even the lower end of the forecast is above the budget; once in a period."""
    if OVERRUN in crossed or status.left <= 0 or status.forecast.low <= status.budget.amount:
        return []
    crossed.add(OVERRUN)
    counts[OVERRUN] = counts.get(OVERRUN, 0) + 1
    budget = status.budget
    return [
        Event(
            key=f"budget/{budget.name}/{status.period.first}/{OVERRUN}/{counts[OVERRUN]}",
            kind="overrun",
            target=f"{budget.scope} {budget.target}",
            subject=f"budget {budget.name} ({budget.scope} {budget.target}): "
            f"will not last until {status.period.last}",
            body=f"As of {today}:\n{describe(status, currency)}",
        )
    ]


def describe(status: BudgetStatus, currency: str) -> str:
    """Return where a budget stands, in a few lines."""

    def show(amount: int) -> str:
        return format_amount(amount, status.budget.unit, currency)

    budget, usage, forecast = status.budget, status.usage, status.forecast
    kind = "hard" if budget.hard else "soft"
    parts = f"settled {show(usage.settled)}, in flight {show(usage.in_flight)}"
    interval = f"{show(forecast.low)} to {show(forecast.high)}"
    lines = [
        f"Budget {budget.name}: {show(budget.amount)} for {status.period.label}, {kind}",
        f"Used: {show(usage.used)} ({status.percent:.0f} %): {parts}",
        f"Promised to running and queued jobs: {show(usage.committed)}",
        f"Left: {show(status.left)}; free: {show(status.free)}",
        f"Forecast for {status.period.last}: {show(forecast.expected)} ({interval})",
    ]
    sentence = lasting(status)
    return "\n".join([*lines, sentence] if sentence else lines)
