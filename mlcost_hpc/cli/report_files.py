"""The HTML file and the list of dearest runs of ``mlcost report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.files import write_private
from mlcost_hpc.cli.output import Format, print_rows
from mlcost_hpc.cli.site import today_of, tree_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period

    from mlcost_hpc.cli.context import Context

_RUNS = {
    "job_id": "job", "name": "name", "user": "user", "account": "account", "partition": "partition",
    "state": "state", "gpu_hours": "GPU h", "cost": "cost",
}  # fmt: skip


def write_html(
    context: Context,
    ledger: Ledger,
    period: Period,
    wanted: Mapping[str, str | Sequence[str]],
    path: Path,
) -> None:
    """Write the report of a period as one HTML file.

    Raises:
        UsageError: when the web extra is missing or the file cannot be written.
    """
    from mlcost_accounting.budgets.overview import budget_statuses
    from mlcost_accounting.ledger.health import known_until
    from mlcost_accounting.ledger.scoped import EVERYTHING
    from mlcost_accounting.reporting.books import ScopedBooks
    from mlcost_accounting.reporting.figures import figures_of

    try:
        from mlcost_accounting.reporting.htmlfile import report_html
    except ImportError as error:
        raise UsageError(f"{error.name} is missing: pip install 'mlcost-hpc[web]'") from None
    one_account = "account" in wanted
    figures = figures_of(
        ScopedBooks(ledger, EVERYTHING),
        period,
        today_of(context),
        wanted=wanted,
        tables=("project", "user", "gpu_model", "partition", "qos")
        if one_account
        else ("account", "project", "user", "gpu_model", "partition"),
        series_by="gpu_model" if wanted else "account",
    )
    names = [name if isinstance(name, str) else name[0] for name in wanted.values()]
    budgets = [
        status
        for status in budget_statuses(ledger, tree_of(ledger), today_of(context))
        if not wanted or status.budget.target in names
    ]
    title = f"Spending of {', '.join(names)}" if names else "Spending"
    html = report_html(
        figures,
        title=title,
        site=context.settings.site.name,
        zone=context.settings.zone,
        as_of=known_until(ledger),
        budgets=budgets,
    )
    write_private(path, html)
    click.echo(f"wrote {path}", err=True)


def show_dearest(
    ledger: Ledger,
    period: Period,
    wanted: Mapping[str, str | Sequence[str]],
    most: int,
    output_format: Format,
) -> None:
    """Print the runs that cost most in a period."""
    from mlcost_accounting.ledger.dearest import dearest_runs
    from mlcost_accounting.ledger.scoped import EVERYTHING
    from mlcost_accounting.reports import hours

    from mlcost_hpc.money import exact_money, format_money

    show = format_money if output_format == "table" else exact_money
    rows = [
        {**row, "gpu_hours": hours(row["gpu_s"]), "cost": show(row["cost"])}
        for row in dearest_runs(ledger, EVERYTHING, period, wanted, most)
    ]
    print_rows(rows, _RUNS, output_format, right=("gpu_hours", "cost"))
