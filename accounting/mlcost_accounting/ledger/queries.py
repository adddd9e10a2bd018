"""What reports read from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_accounting.dims import Dims
from mlcost_accounting.ledger.scoped import matching
from mlcost_accounting.storage import STATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_accounting.ledger.store import Ledger

DIMENSIONS = Dims._fields
_SUMS = ("wall_s", "cpu_s", "gpu_s", "node_s", "cost", "credit", "refused")


def sum_days(
    ledger: Ledger,
    dims: Sequence[str],
    first: int | None,
    last: int | None,
    *,
    per_day: bool,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return the sums of the daily rows of ``[first, last]`` (day numbers; None = no end).

    ``runs`` counts each run once: those with a part on the first day, and those that began later. With
    ``per_day`` there is a row for each day (``day``, and ``first``: runs that began on it). ``storage`` is
    the part of ``cost`` that is for storage. ``wanted``: dimension -> the values that count.
    """
    bounds = ledger.db.execute("SELECT MIN(day), MAX(day) FROM daily").fetchone()
    if bounds[0] is None:
        return []
    since = bounds[0] if first is None else first
    until = bounds[1] if last is None else last
    groups = [*dims, *(["day"] if per_day else [])]
    sums = ", ".join(f"SUM({name}) AS {name}" for name in _SUMS)
    storage = f"SUM(CASE WHEN state = '{STATE}' THEN cost ELSE 0 END) AS storage"
    runs = "SUM(runs)" if per_day else "SUM(CASE WHEN day = ? THEN runs ELSE first END)"
    where = matching(wanted or {})
    values: list[Any] = ([] if per_day else [since]) + [since, until, *where.values]
    grouping = f"GROUP BY {', '.join(groups)}" if groups else ""
    columns = "".join(f"{name}, " for name in groups)
    return ledger.rows(
        f"SELECT {columns}{runs} AS runs, SUM(first) AS first, {sums}, {storage} "  # noqa: S608  # names from Dims
        f"FROM daily JOIN dims ON dims.id = dim_id WHERE day BETWEEN ? AND ? AND {where.sql} {grouping}",
        values,
    )


def problems(ledger: Ledger) -> list[dict[str, Any]]:
    """Return why runs are not charged, each reason with how many runs it holds."""
    return ledger.rows(
        "SELECT kind, words, COUNT(*) AS runs FROM problems GROUP BY kind, words ORDER BY 3 DESC"
    )
