"""The Jinja2 environment of the web pages and the HTML files: everything escaped, nothing undefined."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mlcost_accounting.budgets.records import lasting
from mlcost_accounting.reporting.cells import UNFINISHED
from mlcost_accounting.reporting.charts import money_bars
from mlcost_accounting.reports import hours
from mlcost_hpc.budgets import format_amount
from mlcost_hpc.money import MICROS, exact_money, format_money
from mlcost_hpc.units import format_duration

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mlcost_accounting.budgets.records import BudgetStatus
    from mlcost_accounting.periods import Period

FOLDER = Path(__file__).parents[1] / "templates"
STATIC = Path(__file__).parents[1] / "static"
_TENFOLD = 900.0
_NO_CHANGE = 0.05
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
HEADINGS = {
    "account": "Group", "user": "User", "project": "Project", "partition": "Partition", "qos": "QOS",
    "gpu_model": "GPU model", "state": "State", "tag": "Tag", "pool": "Pool", "wckey": "WCKey",
    "cluster": "Cluster",
}  # fmt: skip


@cache
def environment() -> Environment:
    """Return the environment; made once."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": format_money,
        "headline": show_headline,
        "exact": exact_money,
        "hours": show_hours,
        "percent": show_percent,
        "change": show_change,
        "when": show_time,
        "day": show_day,
        "days": show_days,
        "duration": format_duration,
        "amount": format_amount,
        "lasting": show_lasting,
        "visible": show_raw,
    }
    made.globals |= {"HEADINGS": HEADINGS, "UNFINISHED": UNFINISHED, "money_bars": money_bars}
    return made


def style_sheet() -> str:
    """Return the style sheet, for files that must stand alone."""
    return (STATIC / "style.css").read_text(encoding="utf-8")


def show_headline(micros: int) -> str:
    """Return an amount in big letters: from a hundred thousand on without decimals, which tables have."""
    return format_money(micros, places=0 if abs(micros) >= 100_000 * MICROS else 2)


def show_hours(seconds: int) -> str:
    """Return seconds as hours: ``1,234.5``."""
    return f"{hours(seconds):,.1f}"


def show_percent(value: float) -> str:
    """Return per cent: ``12 %``; below ten with a decimal."""
    return f"{value:.1f} %" if 0 < abs(value) < 9.95 else f"{value:,.0f} %"


def show_change(value: float | None) -> str:
    """Return a change with its sign: ``+12 %``, ``×21`` from tenfold on; ``new`` after nothing."""  # noqa: RUF002
    if value is None:
        return "new"
    if value >= _TENFOLD:
        return f"×{1 + value / 100:,.0f}"  # noqa: RUF001  # a multiplication sign, for people
    if abs(value) < _NO_CHANGE:
        return "0 %"
    return f"{'+' if value >= 0 else '−'}{show_percent(abs(value))}"  # noqa: RUF001  # a minus sign, for people


def show_time(moment: int | None, zone: ZoneInfo) -> str:
    """Return a moment (UTC seconds) in the site's time: ``2026-11-25 14:05``; a dash when not known."""
    if moment is None:
        return "–"  # noqa: RUF001  # a dash, for people
    return f"{datetime.fromtimestamp(moment, UTC).astimezone(zone):%Y-%m-%d %H:%M}"


def show_days(period: Period) -> str:
    """Return a period's name; that of a range as people write it: ``1 to 25 Oct 2026``."""
    first, last = period.first, period.last
    if period.kind != "range":
        return period.label
    if first == last:
        return f"{last.day} {last:%b %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%b %Y}"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{first.day} {first:%b}{year} to {last.day} {last:%b %Y}"


def show_lasting(status: BudgetStatus) -> Markup:
    """Return whether a budget lasts, in a sentence whose dates are not broken over two lines."""
    sentence = str(escape(lasting(status)))  # a plain text again: joined as Markup, what is put in is escaped
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', sentence))  # noqa: S704  # escaped above


def show_raw(text: str) -> str:
    """Return a text as it came, its control characters as escapes: separators of fields, among others."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def show_day(number: int) -> str:
    """Return a day number as a date."""
    return date.fromordinal(number).isoformat()
