"""What a viewer may see of the ledger: every query here takes the viewer's scope and cannot do without it.

Conditions are written by this module from names of its own; everything that comes from outside is a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlcost_accounting.charge import OPEN_STATES
from mlcost_accounting.dims import Dims
from mlcost_accounting.ledger.monthly import month_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period

_SUMS = ("wall_s", "cpu_s", "gpu_s", "node_s", "cost", "credit", "refused")
_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose runs a viewer may see: everybody's, those of accounts, their own.

    Attributes:
        everything: all runs.
        accounts: all runs of these accounts.
        user: the runs of this user; empty = nobody's.
    """

    everything: bool = False
    accounts: frozenset[str] = frozenset()
    user: str = ""

    def covers_account(self, account: str) -> bool:
        """Return True when all runs of an account may be seen."""
        return self.everything or account in self.accounts

    def covers_user(self, user: str) -> bool:
        """Return True when all runs of a user may be seen, whatever their account."""
        return self.everything or (bool(self.user) and user == self.user)


EVERYTHING = Scope(everything=True)
"""The scope of an operator and of whoever can read the ledger's file."""


class Condition(NamedTuple):
    """A part of a WHERE clause and its values."""

    sql: str
    values: tuple[Any, ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"({self.sql}) AND ({other.sql})", (*self.values, *other.values))


def visible(scope: Scope) -> Condition:
    """Return the condition on ``dims`` that a viewer's scope means."""
    if scope.everything:
        return Condition("1", ())
    marks = ", ".join("?" * len(scope.accounts))
    parts = [Condition(f"account IN ({marks})", tuple(sorted(scope.accounts)))] if scope.accounts else []
    parts += [Condition("user = ?", (scope.user,))] if scope.user else []
    if not parts:
        return Condition("0", ())
    return Condition(
        f"({' OR '.join(part.sql for part in parts)})",
        tuple(value for part in parts for value in part.values),
    )


def matching(wanted: Mapping[str, str | Sequence[str]]) -> Condition:
    """Return the condition that dimensions have one of the given values."""
    condition = Condition("1", ())
    for name, value in wanted.items():
        if name not in Dims._fields:
            raise ValueError(f"{name!r} is not a dimension")
        values = (value,) if isinstance(value, str) else tuple(value)
        marks = ", ".join("?" * len(values))
        condition &= Condition(f"{name} IN ({marks})", values)
    return condition


def spending_by_day(
    ledger: Ledger,
    scope: Scope,
    period: Period,
    by: Sequence[str] = (),
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return ``cost``, ``gpu_s`` and the part of both of runs that have not ended, by ``day`` (number)."""
    where = visible(scope) & matching(wanted or {})
    columns = "".join(f"{name}, " for name in _named(by))
    return ledger.rows(
        f"SELECT {columns}day, SUM(cost) AS cost, SUM(gpu_s) AS gpu_s, "  # noqa: S608
        f"SUM(CASE WHEN state IN ({_OPEN}) THEN cost ELSE 0 END) AS open_cost, "
        f"SUM(CASE WHEN state IN ({_OPEN}) THEN gpu_s ELSE 0 END) AS open_gpu_s "
        f"FROM daily JOIN dims ON dims.id = dim_id WHERE day BETWEEN ? AND ? AND {where.sql} "
        f"GROUP BY {columns}day ORDER BY day",
        (period.first.toordinal(), period.last.toordinal(), *where.values),
    )


def runs_of_job(ledger: Ledger, scope: Scope, job_id: str) -> list[dict[str, Any]]:
    """Return every run of a job (or of an array task) that the viewer may see, oldest first."""
    where = visible(scope)
    return ledger.rows(
        f"""
        SELECT runs.id AS run_id, job_id, raw_job_id, name, submitted, started, ended, closed, elapsed_s,
               suspended_s, time_limit_s, node_count, reservation, seen, tres, {", ".join(Dims._fields)},
               problems.kind AS problem, problems.words AS problem_words
        FROM runs JOIN dims ON dims.id = runs.dim_id JOIN allocations ON allocations.id = allocation_id
        LEFT JOIN problems ON problems.run_id = runs.id
        WHERE job_id = ? AND {where.sql} ORDER BY submitted, runs.id
        """,  # noqa: S608
        (job_id, *where.values),
    )


def entries(ledger: Ledger, accounts: Sequence[str], period: Period) -> list[dict[str, Any]]:
    """Return what people entered as costs of accounts: ``day``, ``account``, ``kind``, ``cost``, ``reason``.

    Charges are positive, refunds negative, and an entry that voids one has its cost with the sign changed;
    deposits and pullbacks move money without being a cost.
    """
    marks = ", ".join("?" * len(accounts))
    return ledger.rows(
        "SELECT e.day, e.account, e.kind, -e.micros AS cost, e.reason FROM transactions e "  # noqa: S608
        "LEFT JOIN transactions v ON v.id = e.voids "
        f"WHERE e.account IN ({marks}) AND e.day BETWEEN ? AND ? "
        "AND COALESCE(v.kind, e.kind) IN ('CHARGE', 'REFUND') ORDER BY e.day, e.id",
        (*accounts, period.first.toordinal(), period.last.toordinal()),
    )


def names_seen(ledger: Ledger, scope: Scope, dimension: str) -> list[str]:
    """Return the values of a dimension among the runs the viewer may see."""
    (name,) = _named([dimension])
    where = visible(scope)
    rows = ledger.db.execute(
        f"SELECT DISTINCT {name} FROM dims WHERE {where.sql} ORDER BY 1",  # noqa: S608
        where.values,
    )
    return [row[0] for row in rows]


def days_known(ledger: Ledger) -> tuple[int, int] | None:
    """Return the first and the last day with usage; None when there is none."""
    # Each alone is read from the key; both in one SELECT would walk the table.
    ends = "SELECT (SELECT MIN(day) FROM daily), (SELECT MAX(day) FROM daily)"
    first, last = ledger.db.execute(ends).fetchone()
    return None if first is None else (first, last)


def _named(by: Sequence[str]) -> list[str]:
    unknown = [name for name in by if name not in Dims._fields]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such dimension")
    return list(by)


def cells(
    ledger: Ledger,
    scope: Scope,
    buckets: Sequence[Period],
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> list[tuple[int, Dims, tuple[int, ...]]]:
    """Return (bucket, dimensions, sums) of a period that is cut into buckets.

    The sums are those of :class:`~mlcost_accounting.reporting.cells.Sums`; a run counts where it began, and
    on the period's first day when it ran on already.

    Args:
        ledger: the ledger.
        scope: what the viewer may see.
        buckets: parts of the period, following one another without a gap.
        wanted: dimension -> the values that count.
    """
    where = visible(scope) & matching(wanted or {})
    everything = scope.everything and not wanted
    only = "1" if everything else f"dim_id IN (SELECT id FROM dims WHERE {where.sql})"  # noqa: S608
    columns = ", ".join(f"SUM({name})" for name in _SUMS)
    period_begins = buckets[0].first.toordinal()
    found: list[tuple[int, ...]] = []
    for number, bucket in enumerate(buckets):
        for table, first, last in _segments(bucket.first.toordinal(), bucket.last.toordinal()):
            runs = _RUNS[table]
            sums = (
                f"SELECT dim_id, SUM({runs}), {columns} FROM {table} "  # noqa: S608
                f"WHERE {_DAY[table]} BETWEEN ? AND ? AND {only} GROUP BY dim_id"
            )
            values = (period_begins, first, last, *(() if everything else where.values))
            found += [(number, *row) for row in ledger.db.execute(sums, values)]
    if not found:
        return []
    named = f"SELECT id, {', '.join(Dims._fields)} FROM dims WHERE {where.sql}"  # noqa: S608
    dims = {row[0]: Dims(*row[1:]) for row in ledger.db.execute(named, where.values)}
    return [(number, dims[dim_id], tuple(sums)) for number, dim_id, *sums in found]


def cost_series(
    ledger: Ledger,
    scope: Scope,
    buckets: Sequence[Period],
    dimension: str,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> list[tuple[int, str, int]]:
    """Return (bucket, value of a dimension, cost in micros) of a period that is cut into buckets."""
    (name,) = _named([dimension])
    where = visible(scope) & matching(wanted or {})
    found = []
    for number, bucket in enumerate(buckets):
        for table, first, last in _segments(bucket.first.toordinal(), bucket.last.toordinal()):
            costs = (
                f"SELECT {name}, SUM(cost) FROM {table} JOIN dims ON dims.id = dim_id "  # noqa: S608
                f"WHERE {_DAY[table]} BETWEEN ? AND ? AND {where.sql} GROUP BY {name}"
            )
            rows = ledger.db.execute(costs, (first, last, *where.values))
            found += [(number, row[0], row[1]) for row in rows]
    return found


_DAY = {"daily": "day", "monthly": "month"}
_RUNS = {
    "daily": "CASE WHEN day = ? THEN runs ELSE first END",
    "monthly": "CASE WHEN month = ? THEN present + later ELSE first END",
}


def _segments(first: int, last: int) -> list[tuple[str, int, int]]:
    """Return a span of days as whole months, to be read from their sums, and the days before and after."""
    begins, ends = month_of(first)
    inner_first = first if begins == first else ends + 1
    begins, ends = month_of(last)
    inner_last = last if ends == last else begins - 1
    if inner_first > inner_last:
        return [("daily", first, last)]
    parts = [
        ("daily", first, inner_first - 1),
        ("monthly", inner_first, inner_last),
        ("daily", inner_last + 1, last),
    ]
    return [part for part in parts if part[1] <= part[2]]


def corrections(
    ledger: Ledger,
    scope: Scope,
    period: Period,
    wanted: Mapping[str, str | Sequence[str]] | None = None,
) -> int:
    """Return the micros booked in a period that correct days of periods closed before."""
    where = visible(scope) & matching(wanted or {})
    # The index of corrections is small; left to itself the planner may walk all charges of the period.
    sums = (
        "SELECT COALESCE(SUM(charges.cost), 0) FROM charges INDEXED BY charges_corrections "  # noqa: S608
        "JOIN dims ON dims.id = charges.dim_id "
        f"WHERE corrects != 0 AND day BETWEEN ? AND ? AND {where.sql}"
    )
    values = (period.first.toordinal(), period.last.toordinal(), *where.values)
    return int(ledger.db.execute(sums, values).fetchone()[0])
