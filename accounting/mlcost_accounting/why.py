"""Why a run costs what it costs: its arithmetic, line by line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_accounting.charge import Span
from mlcost_accounting.ledger.lookup import find_runs, run_charges, run_problem
from mlcost_accounting.price_words import price_words
from mlcost_hpc.errors import RateError, UsageError
from mlcost_hpc.money import exact_money
from mlcost_hpc.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.charge import Step
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.rating import Rater


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job and how its charge comes about.

    Attributes:
        job_id, cluster, account, user, project, partition, qos, state: what the run is.
        started, ended: ISO 8601, UTC; empty = not.
        elapsed, suspended: durations.
        held: AllocTRES.
        lines: the arithmetic, a line each.
        days: (day, cost, what it corrects or empty) of the ledger.
        total: the sum of the days, exact text; None = refused.
        credit: what rules took off, exact text.
        why_not: why it is not charged; empty when it is.
    """

    job_id: str
    cluster: str
    account: str
    user: str
    project: str
    partition: str
    qos: str
    state: str
    started: str
    ended: str
    elapsed: str
    suspended: str
    held: str
    lines: tuple[str, ...]
    days: tuple[tuple[str, str, str], ...]
    total: str | None
    credit: str
    why_not: str


def explain_job(ledger: Ledger, rater: Rater, job_id: str, cluster: str | None = None) -> list[Explanation]:
    """Return every run of a job with its arithmetic, oldest first.

    Raises:
        UsageError: when the ledger does not know the job.
    """
    runs = find_runs(ledger, job_id, cluster)
    if not runs:
        raise UsageError(f"the ledger knows no job {job_id}: has it been ingested?")
    return [_explain(ledger, rater, run) for run in runs]


def span_of_run(run: dict[str, Any]) -> Span:
    """Return a run of :func:`find_runs` as the rating sees it; it must have started."""
    return Span(
        run["partition"], run["qos"], run["state"], run["tres"], run["node_count"], run["started"],
        run["elapsed_s"], run["suspended_s"], run["time_limit_s"], run["reservation"], run["seen"],
    )  # fmt: skip


def _explain(ledger: Ledger, rater: Rater, run: dict[str, Any]) -> Explanation:
    days: list[int] = []
    lines: tuple[str, ...] = ("it never started: nothing to charge",)
    if run["started"] is not None:
        held_s = run["elapsed_s"] + run["suspended_s"]
        pieces = rater.calendar.pieces(run["started"], run["started"] + held_s)
        days = [day for day, _, _ in pieces]
        try:
            lines = tuple(arithmetic(rater, span_of_run(run)))
        except RateError as error:
            lines = (str(error),)
    charges = run_charges(ledger, run["id"], days)
    problem = run_problem(ledger, run["id"])
    refused = any(row["cost"] is None for row in charges)
    return Explanation(
        job_id=run["job_id"],
        cluster=run["cluster_name"],
        account=run["account"],
        user=run["user"],
        project=run["project"],
        partition=run["partition"],
        qos=run["qos"],
        state=run["state"],
        started=_iso(run["started"]),
        ended=_iso(run["ended"]),
        elapsed=format_duration(run["elapsed_s"]),
        suspended=format_duration(run["suspended_s"]),
        held=run["tres"],
        lines=lines,
        days=tuple(
            (
                date.fromordinal(row["day"]).isoformat(),
                "" if row["cost"] is None else exact_money(row["cost"]),
                date.fromordinal(row["corrects"]).isoformat() if row["corrects"] else "",
            )
            for row in charges
        ),
        total=None if refused else exact_money(sum(row["cost"] for row in charges)),
        credit=exact_money(sum(row["credit"] for row in charges)),
        why_not=problem["words"] if problem else "",
    )


def arithmetic(rater: Rater, span: Span) -> list[str]:
    """Return the sums behind a charge, a line each.

    Raises:
        RateError: when something has no price.
    """
    if not span.allocated:
        return ["it held nothing: nothing to charge"]
    steps = rater.steps(span)
    lines = [f"an hour: {words}" for words in _hours_in_words(rater, span, steps)]
    for step in steps:
        weighed = (
            ""
            if step.weighed_s == step.seconds
            else f" (weighed by time of day: {_number(step.weighed_s)} s)"
        )
        lines.append(
            f"{date.fromordinal(step.day)}: {step.seconds} s{weighed} x {_number(step.per_hour)}/h "
            f"(card of {step.card}) / 3600 = {_number(step.exact)}"
        )
    used = sum((step.exact for step in steps), Fraction(0))
    if not span.elapsed_s:
        return [*lines, "it ran for 0 s: nothing to charge"]
    listed, charged = rater.totals(span, steps)
    card = rater.rules(span)
    if listed != used:
        lines.append(f"minimum or time steps of the card of {card.valid_from}: {_number(listed)}")
    if charged != listed:
        lines.append(
            f"rule for {span.state}: {_number(charged)} is charged, {_number(listed - charged)} is credit"
        )
    return [*lines, f"rounded once to millionths: {_number(charged)}"]


def _hours_in_words(rater: Rater, span: Span, steps: Sequence[Step]) -> list[str]:
    """Return how the price of an hour comes about, for each card that held; while suspended it differs."""
    if rater.book is None or span.suspended_s:
        return []
    held = rater.held(span).resources
    used = {step.card for step in steps}
    cards = [card for card in rater.book.card if card.valid_from in used]
    words = [price_words(card, held, span.partition, span.qos) for card in cards]
    return [text for text in words if text]


def _number(value: Fraction) -> str:
    """Return a number exactly where nine decimals are enough, else with a sign that it goes on."""
    scaled = value * 10**9
    text = (
        f"{float(value):.9f}".rstrip("0").rstrip(".") if scaled.denominator == 1 else f"{float(value):.9f}..."
    )
    return text or "0"


def _iso(moment: int | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
