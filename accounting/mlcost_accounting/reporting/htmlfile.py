"""A report as one HTML file: style and charts inside, nothing from elsewhere; it prints and mails well.

Every number of the charts is in a table too, for mail programs that take drawings out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from mlcost_accounting.reporting.pages import environment, style_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from mlcost_accounting.budgets.records import BudgetStatus
    from mlcost_accounting.reporting.figures import Figures
    from mlcost_accounting.reporting.invoice import Invoice


def report_html(
    figures: Figures,
    *,
    title: str,
    site: str,
    zone: ZoneInfo,
    as_of: int | None,
    budgets: Sequence[BudgetStatus] = (),
) -> str:
    """Return the report of a period.

    Args:
        figures: what to show.
        title: heading.
        site: name of the site.
        zone: the site's time zone.
        as_of: moment up to which the ledger knows everything (UTC seconds).
        budgets: budgets to show below.
    """
    return _render(
        "report.html", figures=figures, title=title, site=site, zone=zone, as_of=as_of, budgets=budgets
    )


def invoice_html(invoice: Invoice, *, site: str) -> str:
    """Return an invoice as a file to print."""
    return _render("invoice_file.html", invoice=invoice, site=site)


def _render(template: str, **values: object) -> str:
    # The style sheet is a file of this package; nothing of a user is in it.
    style = Markup(style_sheet())  # noqa: S704
    return environment().get_template(template).render(style=style, **values)
