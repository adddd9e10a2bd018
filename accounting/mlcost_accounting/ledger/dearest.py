"""The dearest runs of a period, or of the parts of one job, that a viewer may see."""

from __future__ import annotations

from datetime import date
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mlcost_accounting.dims import Dims
from mlcost_accounting.ledger.budget_schema import LATER_DAY, LONG_RUN
from mlcost_accounting.ledger.monthly import month_of
from mlcost_accounting.ledger.scoped import Condition, matching, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlcost_accounting.ledger.scoped import Scope
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period


def dearest_runs(
    ledger: Ledger,
    scope: Scope,
    period: Period,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
    most: int = 20,
) -> list[dict[str, Any]]:
    """Return the runs that cost most in a period, the dearest first.

    Summing every run of a year only to find a few would take seconds, so candidates are found first, and only
    they are summed: the runs of the dearest single days; then those that could be dearer in sum though none
    of their days is among them. Such a run has more than one day. With ``T`` the sum to beat and ``c`` the
    cheapest day looked at, its later days add up to more than ``T - c``: of two or three days, one later day
    is above half of that; runs of more days are few and have an index.
    """
    where = visible(scope) & matching(wanted or {})
    everything = scope.everything and not wanted
    only = "1" if everything else f"dim_id IN (SELECT id FROM dims WHERE {where.sql})"  # noqa: S608
    days = (period.first.toordinal(), period.last.toordinal())
    limit = _PIECES * most
    while True:
        pieces = _dearest_days(ledger, days, Condition(only, where.values), limit)
        candidates = {row[0] for row in pieces}
        if len(pieces) < limit or len(candidates) >= most:
            break
        limit *= 4
    totals = _totals(ledger, candidates, days)
    if len(pieces) == limit and len(totals) >= most:
        to_beat = sorted(totals.values(), reverse=True)[most - 1]
        later = ledger.db.execute(
            f"SELECT run_id FROM charges INDEXED BY charges_later WHERE {LATER_DAY} AND cost > ? "  # noqa: S608
            f"AND day BETWEEN ? AND ? AND {only}",
            ((to_beat - pieces[-1][1]) // 2, *days, *where.values),
        )
        long = ledger.db.execute(
            f"SELECT id FROM runs INDEXED BY runs_long WHERE {LONG_RUN} AND {only}",  # noqa: S608
            where.values,
        )
        more = {row[0] for found in (later, long) for row in found}
        totals |= _totals(ledger, more - candidates, days)
    best = sorted(totals, key=lambda run_id: (-totals[run_id], run_id))[:most]
    return [_run_row(ledger, run_id, days) for run_id in best]


def dearest_parts(ledger: Ledger, scope: Scope, job_id: int) -> list[dict[str, Any]]:
    """Return the runs of an array's tasks or of a heterogeneous job's components, the dearest first.

    Args:
        ledger: the ledger.
        scope: what the viewer may see.
        job_id: number of the whole, ``80`` for tasks ``80_0``, ``80_1``, ... or components ``80+0``, ...
    """
    where = visible(scope)
    # As ranges, so that the index serves: "`" and "," are the characters after "_" and "+".
    found = ledger.db.execute(
        "SELECT runs.id FROM runs JOIN dims ON dims.id = dim_id WHERE "  # noqa: S608
        f"((job_id > ? AND job_id < ?) OR (job_id > ? AND job_id < ?)) AND {where.sql}",
        (f"{job_id}_", f"{job_id}`", f"{job_id}+", f"{job_id},", *where.values),
    ).fetchall()
    rows = [_run_row(ledger, run_id, (EPOCH, date.max.toordinal())) for (run_id,) in found]
    return sorted(rows, key=lambda row: (-row["cost"], row["run_id"]))


_PIECES = 20
"""Single days that are looked at for each run that is asked for."""


def _dearest_days(ledger: Ledger, days: tuple[int, int], only: Condition, most: int) -> list[tuple[int, int]]:
    """Return (run, cost) of the dearest days of runs, the dearest first.

    Month by month, so that in later months all that costs less than what was found is passed over at once.
    """
    pieces: list[tuple[int, int]] = []
    first = days[0]
    while first <= days[1]:
        last = min(month_of(first)[1], days[1])
        to_beat = pieces[-1][1] if len(pieces) == most else 0
        found = ledger.db.execute(
            f"SELECT run_id, cost FROM charges WHERE day BETWEEN ? AND ? AND cost > ? AND {only.sql} "  # noqa: S608
            "ORDER BY cost DESC LIMIT ?",
            (first, last, to_beat, *only.values, most),
        )
        pieces = sorted([*pieces, *found], key=itemgetter(1), reverse=True)[:most]
        first = last + 1
    return pieces


def _totals(ledger: Ledger, run_ids: Collection[int], days: tuple[int, int]) -> dict[int, int]:
    """Return what runs cost in a span of days, where it is above zero."""
    totals = {}
    for run_id in run_ids:
        cost = _sums_of_run(ledger, run_id, days)[0]
        if cost > 0:
            totals[run_id] = cost
    return totals


def _sums_of_run(ledger: Ledger, run_id: int, days: tuple[int, int]) -> tuple[int, int, int]:
    """Return (cost, GPU seconds, CPU seconds) of a run in a span of days, through the key of the charges."""
    started, ended = ledger.db.execute(
        "SELECT started, started + elapsed_s + suspended_s FROM runs WHERE id = ?", (run_id,)
    ).fetchone()
    # A day of slack on both sides covers every time zone.
    first = max(days[0], EPOCH + (started or 0) // 86400 - 1)
    last = min(days[1], EPOCH + (ended or 0) // 86400 + 1)
    sums = [0, 0, 0]
    columns = "cost, gpu_s, cpu_s"
    rows = [
        row
        for day in range(first, last + 1)
        for row in ledger.db.execute(
            f"SELECT {columns} FROM charges WHERE day = ? AND run_id = ? AND corrects = 0",  # noqa: S608
            (day, run_id),
        )
    ]
    rows += ledger.db.execute(
        f"SELECT {columns} FROM charges INDEXED BY charges_corrections "  # noqa: S608
        "WHERE run_id = ? AND corrects != 0 AND day BETWEEN ? AND ?",
        (run_id, *days),
    )
    for row in rows:
        sums = [total + (part or 0) for total, part in zip(sums, row, strict=True)]
    return sums[0], sums[1], sums[2]


def _run_row(ledger: Ledger, run_id: int, days: tuple[int, int]) -> dict[str, Any]:
    cost, gpu_s, cpu_s = _sums_of_run(ledger, run_id, days)
    columns = f"job_id, name, started, ended, elapsed_s, time_limit_s, {', '.join(Dims._fields)}"
    (row,) = ledger.rows(
        f"SELECT {columns} FROM runs JOIN dims ON dims.id = dim_id WHERE runs.id = ?",  # noqa: S608
        (run_id,),
    )
    return {"run_id": run_id, "cost": cost, "gpu_s": gpu_s, "cpu_s": cpu_s, **row}


EPOCH = 719_163
"""Day number of 1970-01-01."""
