"""One visit of a page: who, what they may see, and the ledger with their scope around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import HTMLResponse

from mlcost_accounting.ledger.health import known_until
from mlcost_accounting.periods import Period, parse_period, period_of
from mlcost_accounting.reporting.pages import environment
from mlcost_accounting.web.people import People
from mlcost_hpc.errors import MlcostError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mlcost_accounting.accounts import AccountTree
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.reporting.books import ScopedBooks

Arithmetic = Callable[[dict[str, Any]], list[str]]
"""Lines that explain the charge of a run of
:func:`~mlcost_accounting.ledger.scoped.runs_of_job`."""


class HiddenError(MlcostError):
    """There is no such page, or not for this viewer: both look the same from outside."""


class SiteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What pages need to know of the site.

    Attributes:
        name: shown on every page.
        zone: the site's time zone.
        ledger: the ledger's file.
        version: of this package.
        people: the roles.
        arithmetic: explains the charge of a run.
    """

    name: str
    zone: ZoneInfo
    ledger: Path
    version: str
    people: People
    arithmetic: Arithmetic


class Visit(NamedTuple):
    """A visit by a signed-in user."""

    request: Request
    site: SiteFacts
    user: str
    books: ScopedBooks
    ledger: Ledger
    tree: AccountTree
    today: date
    has_session: bool

    @property
    def is_operator(self) -> bool:
        """True for operators."""
        return self.site.people.is_operator(self.user)

    def param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def period(self) -> Period:
        """Return the period that is asked for, this month when none is.

        Raises:
            UsageError: when the text is no period.
        """
        text = self.request.query_params.get("period", "")
        return parse_period(text, self.today) if text else period_of(self.today, "month")

    def choices(self) -> list[str]:
        """Return the periods that are offered: those with usage, the newest first."""
        return choices_between(self.books.days_known(), self.today)

    def page(self, template: str, title: str, **values: Any) -> Response:
        """Return a page."""
        period = values.get("period")
        query = f"?period={period.label}" if period is not None else ""
        html = (
            environment()
            .get_template(template)
            .render(
                title=title,
                site=self.site.name,
                zone=self.site.zone,
                version=self.site.version,
                user=self.user,
                has_session=self.has_session,
                navigation=navigation(is_operator=self.is_operator),
                here=self.request.url.path,
                as_of=known_until(self.ledger),
                query=query,
                **({"choices": self.choices()} if period is not None else {}),
                **values,
            )
        )
        return HTMLResponse(html)


def navigation(*, is_operator: bool) -> list[tuple[str, str]]:
    """Return (path, label) of the main pages."""
    pages = [("/", "Overview"), ("/waste", "Waste"), ("/budgets", "Budgets"), ("/invoices", "Invoices")]
    return [*pages, ("/operator", "Operator")] if is_operator else pages


def choices_between(known: tuple[int, int] | None, today: date) -> list[str]:
    """Return the months, quarters and years between the first day with usage and today."""
    if known is None:
        return [period_of(today, "month").label]
    first = date.fromordinal(known[0])
    names: list[str] = []
    for kind, most in (("month", 14), ("quarter", 5), ("year", 3)):
        part = period_of(today, kind)  # type: ignore[arg-type]  # the three are kinds
        for _ in range(most):
            if part.last < first:
                break
            names.append(part.label)
            part = part.previous()
    return names


def now_in(zone: ZoneInfo) -> date:
    """Return the site's day."""
    return datetime.now(zone).date()
