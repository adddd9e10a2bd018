"""``mlcost report`` and ``mlcost usage``: what was used and what it cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date, span_of_options, span_options
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.report_rows import beside, with_total, write_parquet
from mlcost_hpc.cli.site import today_of, tree_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period

    from mlcost_hpc.cli.context import Context

    Wanted = Mapping[str, str | Sequence[str]]
    Rows = list[dict[str, Any]]

_REPORT = ("runs", "wall_hours", "cpu_hours", "gpu_hours", "cost", "storage_cost")
_USAGE = ("cpu_hours", "gpu_hours", "node_hours", "wall_hours", "cost")
_COMPARED = ("cost_before", "change_percent")
_HEADINGS = {
    "wall_hours": "wall h", "cpu_hours": "CPU h", "gpu_hours": "GPU h", "node_hours": "node h",
    "gpu_model": "GPU model", "storage_cost": "of it storage", "cost_before": "before",
    "change_percent": "change %",
}  # fmt: skip

_by_option = click.option(
    "--by", default="account,user", show_default=True, help="What to group by, comma-separated."
)


@click.command()
@_by_option
@click.option("--period", help="2026, 2026-Q4, 2026-10, 2026-W41, a day, FIRST..LAST, last-month, ...")
@click.option("--account", help="Only this account and those below it.")
@click.option("--project", help="Only this project.")
@click.option("--user", help="Only this user.")
@click.option("--compare", is_flag=True, help="Show the period before, too.")
@click.option("--top", type=click.IntRange(min=1), help="Show so many of the dearest runs instead.")
@click.option("--html", type=click.Path(path_type=Path), help="Write one HTML file, to print or mail.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write the rows as a Parquet file.")
@span_options
@ledger_option
@format_option
@click.pass_obj
def report(context: Context, /, by: str, ledger: Path | None, output_format: Format, **options: Any) -> None:
    """Show what accounts and users spent.

    Groups: account, user, project, partition, qos, gpu_model, state, pool, wckey, tag, cluster, day, week,
    month, quarter, year.
    """
    from mlcost_hpc.cli.report_files import show_dearest, write_html

    with open_up_to_date(context, ledger) as books:
        period, days = _period_of(context, options)
        wanted = _wanted(books, options)
        if options["html"]:
            write_html(context, books, _needed(period, "--html"), wanted, options["html"])
            return
        if options["top"]:
            show_dearest(books, _needed(period, "--top"), wanted, options["top"], output_format)
            return
        groups = _groups(by)
        rows = _rows(books, groups, days, wanted)
        if not rows:
            _say_nothing(books)
        columns: tuple[str, ...] = _REPORT
        if options["compare"]:
            rows = beside(rows, _before(context, books, groups, _needed(period, "--compare"), wanted), groups)
            columns = (*_REPORT, *_COMPARED)
        currency = books.meta("currency") or ""
    if options["parquet"]:
        write_parquet(options["parquet"], rows, (*groups, *columns))
        click.echo(f"wrote {options['parquet']}", err=True)
        return
    _print(rows, groups, columns, currency, output_format)


@click.command()
@_by_option
@span_options
@ledger_option
@format_option
@click.pass_obj
def usage(
    context: Context,
    by: str,
    month: str | None,
    since: str | None,
    until: str | None,
    ledger: Path | None,
    output_format: Format,
) -> None:
    """Show hours of CPUs, GPUs and nodes, and their cost.

    Groups: account, user, project, partition, qos, gpu_model, state, pool, wckey, tag, cluster, day, week,
    month, quarter, year.
    """
    groups = _groups(by)
    with open_up_to_date(context, ledger) as books:
        rows = _rows(books, groups, span_of_options(month, since, until), {})
        if not rows:
            _say_nothing(books)
        currency = books.meta("currency") or ""
    _print(rows, groups, _USAGE, currency, output_format)


def _say_nothing(ledger: Ledger) -> None:
    """Say that nothing ran in the days that were asked for, and of which days the ledger knows."""
    from datetime import date

    from mlcost_accounting.ledger.scoped import days_known

    known = days_known(ledger)
    first, last = (date.fromordinal(day) for day in known) if known else (None, None)
    there_is = f"the ledger has usage from {first} to {last}" if known else "the ledger has no usage yet"
    click.echo(f"mlcost: nothing ran in these days: {there_is}", err=True)


def _groups(by: str) -> list[str]:
    return [word.strip() for word in by.split(",") if word.strip()]


def _period_of(
    context: Context, options: Mapping[str, Any]
) -> tuple[Period | None, tuple[date | None, date | None]]:
    """Return the period that options name (None: all there is, or open at an end) and its days.

    Raises:
        UsageError: when they name several.
    """
    from mlcost_accounting.periods import parse_period

    month, since, until = options["month"], options["since"], options["until"]
    if options["period"]:
        if month or since or until:
            raise UsageError("give --period, or --month, or --since and --until")
        period = parse_period(options["period"], today_of(context))
        return period, (period.first, period.last)
    days = span_of_options(month, since, until)
    if None in days:
        return None, days
    return parse_period(month or f"{days[0]}..{days[1]}", today_of(context)), days


def _needed(period: Period | None, option: str) -> Period:
    if period is None:
        raise UsageError(f"{option} needs a period: --period, --month, or --since and --until")
    return period


def _wanted(ledger: Ledger, options: Mapping[str, Any]) -> Wanted:
    """Return the values that options restrict a report to.

    Raises:
        UsageError: for an account, project or user that the ledger never saw.
    """
    from mlcost_accounting.ledger.scoped import EVERYTHING, names_seen

    wanted: dict[str, str | Sequence[str]] = {}
    for dimension in ("account", "project", "user"):
        name = options[dimension]
        if not name:
            continue
        names = tree_of(ledger).below(name) if dimension == "account" else (name,)
        if not set(names) & set(names_seen(ledger, EVERYTHING, dimension)):
            raise UsageError(f"the ledger knows no {dimension} {name!r}")
        # The named one first: titles use it.
        wanted[dimension] = (name, *(other for other in names if other != name))
    return wanted


def _rows(
    ledger: Ledger, groups: Sequence[str], days: tuple[date | None, date | None], wanted: Wanted
) -> Rows:
    from mlcost_accounting import reports

    return reports.usage(ledger, groups, *days, wanted=wanted)


def _before(context: Context, ledger: Ledger, groups: Sequence[str], period: Period, wanted: Wanted) -> Rows:
    """Return the rows of the period before; while one is not over, of as many days as have passed.

    Raises:
        UsageError: when rows are grouped by days, weeks, ...: those never come again.
    """
    from mlcost_accounting.reporting.figures import compared_with
    from mlcost_accounting.reports import SPANS

    if set(groups) & set(SPANS):
        raise UsageError("--compare cannot be grouped by day, week, month, quarter or year")
    before = compared_with(period, today_of(context))
    click.echo(f"mlcost: compared with {before.first} to {before.last}", err=True)
    return _rows(ledger, groups, (before.first, before.last), wanted)


def _print(
    rows: Rows, groups: Sequence[str], columns: Sequence[str], currency: str, output_format: Format
) -> None:
    refused = sum(row["refused"] for row in rows)
    if not currency:
        rows = [{**row, "cost": None, "storage_cost": None} for row in rows]
    elif refused:
        click.echo(f"mlcost: {refused} parts of runs are not charged: `mlcost problems` says why", err=True)
    if output_format == "table":
        # A site without storage has no use for a column of zeros.
        if not any(Decimal(row["storage_cost"] or 0) for row in rows):
            columns = [name for name in columns if name != "storage_cost"]
        rows = with_total(rows, groups)
    headings = {name: _HEADINGS.get(name, name) for name in (*groups, *columns)}
    headings["cost"] = f"cost ({currency})" if currency else "cost"
    print_rows(rows, headings, output_format, right=columns)
