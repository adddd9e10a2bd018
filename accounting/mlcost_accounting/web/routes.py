"""Every page with its path and for whom it is. The authorisation tests are made from this table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from mlcost_accounting.web.pages import job, money, operator, spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from mlcost_accounting.web.visit import Visit

Audience = Literal["anyone", "operators"]


class Page(NamedTuple):
    """A page for signed-in users.

    Attributes:
        path: its path.
        show: makes it.
        audience: ``anyone`` who is signed in (what they see depends on their scope), or ``operators``.
    """

    path: str
    show: Callable[[Visit], Response]
    audience: Audience


PAGES = (
    Page("/", spending.overview, "anyone"),
    Page("/account/{name:path}", spending.account, "anyone"),
    Page("/project/{name:path}", spending.project, "anyone"),
    Page("/user/{name:path}", spending.user, "anyone"),
    Page("/job/{name:path}", job.job, "anyone"),
    Page("/waste", spending.waste, "anyone"),
    Page("/budgets", money.budgets, "anyone"),
    Page("/invoices", money.invoices, "anyone"),
    Page("/invoice/{period}/{name:path}", money.invoice, "anyone"),
    Page("/operator", operator.operator, "operators"),
)
