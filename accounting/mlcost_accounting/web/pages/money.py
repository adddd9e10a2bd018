"""Budgets and invoices."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from mlcost_accounting.ledger.budget_book import BudgetBook
from mlcost_accounting.ledger.override_book import overridden_jobs
from mlcost_accounting.periods import parse_period, period_of
from mlcost_accounting.reporting.invoice import invoice_of
from mlcost_accounting.web.pages.spending import visible_budgets
from mlcost_accounting.web.visit import HiddenError

if TYPE_CHECKING:
    from starlette.responses import Response

    from mlcost_accounting.periods import Period
    from mlcost_accounting.web.visit import Visit

MONTHS = 12
"""Months whose invoices are listed."""


def budgets(visit: Visit) -> Response:
    """Where the budgets stand that concern the viewer, and the jobs that went past hard ones."""
    scope = visit.books.scope
    return visit.page(
        "budgets.html",
        "Budgets",
        budgets=visible_budgets(visit),
        currency=visit.books.currency,
        taken=BudgetBook(visit.ledger).commitments_taken(),
        overrides=[
            job
            for job in overridden_jobs(visit.ledger)
            if scope.covers_account(job.account) or scope.covers_user(job.user)
        ],
    )


def invoices(visit: Visit) -> Response:
    """The invoices of the last months, the newest first."""
    scope, closed = visit.books.scope, visit.books.closed_through()
    known = visit.books.days_known()
    months: list[Period] = []
    month = period_of(visit.today, "month")
    while known is not None and len(months) < MONTHS and month.last >= date.fromordinal(known[0]):
        months.append(month)
        month = month.previous()
    invoices_of: dict[int, list[tuple[str, int]]] = {}
    for index, account, cost in visit.books.by_month(months, "account"):
        if scope.covers_account(account):
            invoices_of.setdefault(index, []).append((account, cost))
    listed = [
        {
            "label": months[index].label,
            "closed": closed >= months[index].last.toordinal(),
            "total": sum(cost for _, cost in lines),
            "invoices": lines,
        }
        for index, lines in invoices_of.items()
    ]
    return visit.page("invoices.html", "Invoices", months=listed, currency=visit.books.currency)


def invoice(visit: Visit) -> Response:
    """The invoice of a group for a month."""
    account = visit.param("name")
    period = parse_period(visit.param("period"), visit.today)
    if not visit.books.scope.covers_account(account) or account not in visit.books.names_seen("account"):
        raise HiddenError(f"There is no group {account!r} here, or its invoices are not yours to see.")
    return visit.page(
        "invoice.html",
        f"Invoice {period.label}, {account}",
        invoice=invoice_of(visit.books, account, period),
    )
