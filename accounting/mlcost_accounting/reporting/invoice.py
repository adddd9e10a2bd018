"""The invoice of an account for a period: what each project and user used, credits, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlcost_accounting.charge import OPEN_STATES
from mlcost_accounting.dims import Dims
from mlcost_accounting.periods import Period
from mlcost_accounting.reporting.cells import Sums, add

if TYPE_CHECKING:
    from mlcost_accounting.reporting.books import ScopedBooks


class InvoiceLine(NamedTuple):
    """What one user used for one project on one kind of resource."""

    project: str
    user: str
    partition: str
    gpu_model: str
    sums: Sums


class InvoiceEntry(NamedTuple):
    """What somebody entered: a charge (positive) or a refund (negative), micros."""

    day: date
    kind: str
    cost: int
    reason: str


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice.

    Attributes:
        account: who is charged.
        period: for which days.
        currency: of the amounts.
        closed: True = it never changes again; False = a draft.
        lines: the lines; they add up to ``total``.
        corrections: micros that correct periods closed before; part of the lines.
        open_cost: micros of runs that had not ended; part of the lines.
        total: sum of the lines.
        entries: charges and refunds that people entered.
    """

    account: str
    period: Period
    currency: str
    closed: bool
    lines: Sequence[InvoiceLine]
    corrections: int
    open_cost: int
    total: Sums
    entries: Sequence[InvoiceEntry]

    @property
    def due(self) -> int:
        """What is to be paid, micros: the lines and the entries."""
        return self.total.cost + sum(entry.cost for entry in self.entries)


def invoice_of(books: ScopedBooks, account: str, period: Period) -> Invoice:
    """Return the invoice of an account: as it was closed, else as it would be now."""
    closed = books.closed_lines(account, period)
    if closed is None:
        parts = [(cell.dims, cell.sums) for cell in books.totals(period, {"account": account}).cells]
    else:
        parts = [(_dims_of(row), _sums_of(row)) for row in closed]
    groups: dict[tuple[str, str, str, str], list[Sums]] = {}
    for dims, sums in parts:
        groups.setdefault((dims.project, dims.user, dims.partition, dims.gpu_model), []).append(sums)
    return Invoice(
        account=account,
        period=period,
        currency=books.currency,
        closed=closed is not None,
        lines=[InvoiceLine(*key, add(sums)) for key, sums in sorted(groups.items())],
        corrections=books.corrections(period, {"account": account}),
        open_cost=sum(sums.cost for dims, sums in parts if dims.state in OPEN_STATES),
        total=add(sums for _, sums in parts),
        entries=[
            InvoiceEntry(date.fromordinal(row["day"]), row["kind"], row["cost"], row["reason"])
            for row in books.entries(account, period)
        ],
    )


def _dims_of(row: dict[str, Any]) -> Dims:
    return Dims(*(row[name] for name in Dims._fields))


def _sums_of(row: dict[str, Any]) -> Sums:
    return Sums(*(row[name] for name in Sums._fields))
