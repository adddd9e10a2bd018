"""Spending of everything the viewer may see, of a group, a project, a user; and what did not finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_accounting.budgets.overview import budget_statuses
from mlcost_accounting.reporting.figures import figures_of, waste_of
from mlcost_accounting.web.visit import HiddenError

if TYPE_CHECKING:
    from starlette.responses import Response

    from mlcost_accounting.budgets.records import BudgetStatus
    from mlcost_accounting.web.visit import Visit

_TABLES = {
    "account": ("project", "user", "gpu_model", "partition", "qos"),
    "project": ("user", "account", "gpu_model", "partition"),
    "user": ("project", "account", "gpu_model", "partition"),
}


def overview(visit: Visit) -> Response:
    """All that the viewer may see, by group."""
    period = visit.period()
    figures = figures_of(
        visit.books,
        period,
        visit.today,
        tables=("account", "project", "user", "gpu_model"),
        series_by="account",
    )
    return visit.page(
        "overview.html",
        f"Spending in {period.label}",
        what=what_is_seen(visit),
        period=period,
        figures=figures,
        budgets=visible_budgets(visit),
    )


def account(visit: Visit) -> Response:
    """A group with those below it: who spent what on what."""
    return _part(visit, "account", "gpu_model")


def project(visit: Visit) -> Response:
    """A project."""
    return _part(visit, "project", "user")


def user(visit: Visit) -> Response:
    """A user."""
    return _part(visit, "user", "gpu_model")


def waste(visit: Visit) -> Response:
    """What was spent on runs that ended without finishing."""
    period = visit.period()
    figures, lost = waste_of(visit.books, period, visit.today, tables=("user", "partition"))
    return visit.page(
        "waste.html", "Waste", what=what_is_seen(visit), period=period, figures=figures, lost=lost
    )


def visible_budgets(visit: Visit) -> list[BudgetStatus]:
    """Return the budgets whose whole spending the viewer may see."""
    scope = visit.books.scope
    found = []
    for status in budget_statuses(visit.ledger, visit.tree, visit.today):
        target = status.budget.target
        if (
            scope.everything
            or (status.budget.scope == "account" and scope.covers_account(target))
            or (status.budget.scope == "user" and scope.covers_user(target))
        ):
            found.append(status)
    return found


def what_is_seen(visit: Visit) -> str:
    """Return a sentence that says whose runs the viewer sees."""
    scope = visit.books.scope
    if scope.everything:
        return "All runs of all groups."
    if not scope.accounts:
        return "Your own runs."
    return f"All runs of {', '.join(sorted(scope.accounts))}, and your own."


def _part(visit: Visit, dimension: str, series_by: str) -> Response:
    name = visit.param("name")
    names = visit.tree.below(name) if dimension == "account" else (name,)
    seen = set(names) & set(visit.books.names_seen(dimension))
    if not seen:
        raise HiddenError(f"There is no {dimension} {name!r} here, or its costs are not yours to see.")
    period = visit.period()
    tables = ("account", *_TABLES[dimension]) if len(seen) > 1 else _TABLES[dimension]
    figures = figures_of(
        visit.books,
        period,
        visit.today,
        wanted={dimension: names},
        tables=tables,
        series_by="account" if len(seen) > 1 else series_by,
    )
    budgets = [
        status
        for status in visible_budgets(visit)
        if (status.budget.scope, status.budget.target) == (dimension, name)
    ]
    return visit.page(
        "overview.html",
        f"{dimension.capitalize() if dimension != 'account' else 'Group'} {name}",
        what=_whose(visit, dimension, name),
        period=period,
        figures=figures,
        budgets=budgets,
    )


def _whose(visit: Visit, dimension: str, name: str) -> str:
    scope = visit.books.scope
    whole = (
        scope.everything
        or (dimension == "account" and scope.covers_account(name))
        or (dimension == "user" and scope.covers_user(name))
    )
    return "All of its runs." if whole else "Only the part that you may see: your own runs and your groups'."
