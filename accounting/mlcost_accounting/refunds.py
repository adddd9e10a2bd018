"""Giving back what a job was charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_accounting.calendar import Calendar
from mlcost_accounting.ledger.lookup import find_runs, run_charges
from mlcost_accounting.ledger.transactions import Entry, add_entry
from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import format_money

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mlcost_accounting.ledger.store import Ledger


def refund(
    ledger: Ledger,
    zone: ZoneInfo,
    job_id: str,
    cluster: str | None,
    micros: int | None,
    *,
    day: int,
    reason: str,
    author: str,
    now: int,
) -> list[int]:
    """Refund a job, from its newest run back to its oldest, and return the numbers of the entries.

    Args:
        ledger: the ledger.
        zone: the site's time zone.
        job_id: the job.
        cluster: its cluster, where several have that number.
        micros: how much; None = all that was charged.
        day: day number on which it counts.
        reason: why.
        author: who.
        now: UTC seconds.

    Raises:
        UsageError: when the job is not known, is of several clusters, or was charged less.
    """
    runs = find_runs(ledger, job_id, cluster)
    if not runs:
        raise UsageError(f"the ledger knows no job {job_id}")
    if len({run["cluster_name"] for run in runs}) > 1:
        raise UsageError(f"several clusters have a job {job_id}: name one with --cluster")
    calendar = Calendar(zone)
    charged = {}
    for run in runs:
        started, held_s = run["started"] or 0, run["elapsed_s"] + run["suspended_s"]
        days = [number for number, _, _ in calendar.pieces(started, started + held_s)] if started else []
        charged[run["id"]] = sum(row["cost"] or 0 for row in run_charges(ledger, run["id"], days))
    left = sum(charged.values()) if micros is None else micros
    if left > sum(charged.values()):
        raise UsageError(f"job {job_id} was charged {format_money(sum(charged.values()))} in all")
    numbers = []
    for run in reversed(runs):
        part = min(left, charged[run["id"]])
        if part > 0:
            entry = Entry(
                kind="REFUND", account=run["account"], micros=part, day=day, reason=reason, author=author,
                run_id=run["id"], charged=charged[run["id"]],
            )  # fmt: skip
            numbers.append(add_entry(ledger, entry, now))
            left -= part
    return numbers
