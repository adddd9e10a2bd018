"""The invoice of an account for a period: what each project and user used, credits, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlcost_accounting.periods import Period
from mlcost_accounting.rating import OPEN_STATES
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
        total: sum of all.
    """

    account: str
    period: Period
    currency: str
    closed: bool
    lines: Sequence[InvoiceLine]
    corrections: int
    open_cost: int
    total: Sums


def invoice_of(books: ScopedBooks, account: str, period: Period) -> Invoice:
    """Return the invoice of an account, as far as it concerns the viewer."""
    cells = books.totals(period, {"account": account})
    groups: dict[tuple[str, str, str, str], list[Sums]] = {}
    for cell in cells.cells:
        dims = cell.dims
        groups.setdefault((dims.project, dims.user, dims.partition, dims.gpu_model), []).append(cell.sums)
    lines = [InvoiceLine(*key, add(parts)) for key, parts in sorted(groups.items())]
    return Invoice(
        account=account,
        period=period,
        currency=books.currency,
        closed=books.closed_through() >= period.last.toordinal(),
        lines=lines,
        corrections=books.corrections(period, {"account": account}),
        open_cost=cells.where(lambda dims: dims.state in OPEN_STATES).total().cost,
        total=cells.total(),
    )
