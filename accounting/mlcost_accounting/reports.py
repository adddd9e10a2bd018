"""Usage and cost over a span of days, grouped as asked."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlcost_accounting.ledger.queries import DIMENSIONS, sum_days
from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import exact_money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_accounting.ledger.store import Ledger

SPANS = ("day", "week", "month", "quarter", "year")
GROUPS = (*DIMENSIONS, *SPANS)
"""What usage can be grouped by."""

_HOUR = Decimal(3600)
_PLACES = Decimal("0.0001")


def usage(
    ledger: Ledger,
    by: Sequence[str],
    first: date | None = None,
    last: date | None = None,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return what was used and what it cost, one row for each combination that occurs.

    Args:
        ledger: the ledger.
        by: names of :data:`GROUPS`.
        first: first day; None = from the beginning.
        last: last day, included; None = to the end.
        wanted: dimension -> the values that count; None = all.

    Returns:
        Rows with the groups, ``runs``, ``wall_hours``, ``cpu_hours``, ``gpu_hours``, ``node_hours``,
        ``cost`` (exact text, micros), ``storage_cost`` (the part of it that is for storage), ``credit`` and
        ``refused`` (runs without a charge).

    Raises:
        UsageError: for an unknown group.
    """
    unknown = [name for name in by if name not in GROUPS]
    if unknown:
        raise UsageError(f"cannot group by {', '.join(unknown)}: take {', '.join(GROUPS)}")
    spans = [name for name in by if name in SPANS]
    dims = [name for name in by if name in DIMENSIONS]
    rows = sum_days(
        ledger,
        dims,
        first.toordinal() if first else None,
        last.toordinal() if last else None,
        per_day=bool(spans),
        wanted=wanted,
    )
    if spans:
        rows = _fold_days(rows, dims, spans)
    rows.sort(key=lambda row: tuple(str(row[name]) for name in by))
    return [_present(row, by) for row in rows]


def span_of(day: date, span: str) -> str:
    """Return the name of the day, week, month, quarter or year in which a day lies."""
    if span == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    if span == "quarter":
        return f"{day.year}-Q{(day.month + 2) // 3}"
    return day.isoformat()[: {"day": 10, "month": 7, "year": 4}[span]]


def month_days(month: str) -> tuple[date, date]:
    """Return the first and the last day of ``YYYY-MM``.

    Raises:
        UsageError: when the text is no month.
    """
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise UsageError(f"{month!r} is not a month: write YYYY-MM") from None
    following = (first + timedelta(days=31)).replace(day=1)
    return first, following - timedelta(days=1)


def _fold_days(
    rows: Sequence[dict[str, Any]], dims: Sequence[str], spans: Sequence[str]
) -> list[dict[str, Any]]:
    """Sum rows of days into rows of longer spans.

    A run counts in each span in which it ran: those that were running on a span's first day, and those
    that started on a later one.
    """
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["day"]):
        day = date.fromordinal(row["day"])
        names = {span: span_of(day, span) for span in spans}
        key = (*names.values(), *(str(row[name]) for name in dims))
        into = groups.get(key)
        if into is None:
            groups[key] = {**row, **names}
        else:
            for name in ("wall_s", "cpu_s", "gpu_s", "node_s", "cost", "credit", "refused", "storage"):
                into[name] += row[name]
            into["runs"] += row["first"]
    return list(groups.values())


def _present(row: dict[str, Any], by: Sequence[str]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in by},
        "runs": row["runs"],
        "wall_hours": hours(row["wall_s"]),
        "cpu_hours": hours(row["cpu_s"]),
        "gpu_hours": hours(row["gpu_s"]),
        "node_hours": hours(row["node_s"]),
        "cost": exact_money(row["cost"]),
        "storage_cost": exact_money(row["storage"]),
        "credit": exact_money(row["credit"]),
        "refused": row["refused"],
    }


def hours(seconds: int) -> Decimal:
    """Return seconds as hours with four decimals."""
    return (Decimal(seconds) / _HOUR).quantize(_PLACES)
