"""``mlcost invoice``: what an account is charged for a month."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date
from mlcost_hpc.cli.files import write_private
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.site import today_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_accounting.reporting.invoice import Invoice

    from mlcost_hpc.cli.context import Context

COLUMNS = {
    "account": "account", "period": "period", "closed": "closed", "kind": "kind", "project": "project",
    "user": "user", "partition": "partition", "gpu_model": "GPU model", "runs": "runs",
    "gpu_hours": "GPU h", "cpu_hours": "CPU h", "credit": "credit", "cost": "cost", "reason": "reason",
}  # fmt: skip
_PEOPLE = ("project", "user", "partition", "gpu_model", "runs", "gpu_hours", "cpu_hours", "credit", "cost")


@click.command()
@click.option("--period", default="last-month", show_default=True, help="A month (YYYY-MM), or any period.")
@click.option("--account", required=True, help="Who is charged.")
@click.option("--html", type=click.Path(path_type=Path), help="Write it as a file to print or mail.")
@ledger_option
@format_option
@click.pass_obj
def invoice(
    context: Context, period: str, account: str, html: Path | None, ledger: Path | None, output_format: Format
) -> None:
    """Show the invoice of an account: its lines, entries, and what is to be paid."""
    from mlcost_accounting.ledger.scoped import EVERYTHING
    from mlcost_accounting.periods import parse_period
    from mlcost_accounting.reporting.books import ScopedBooks
    from mlcost_accounting.reporting.invoice import invoice_of

    with open_up_to_date(context, ledger) as books:
        scoped = ScopedBooks(books, EVERYTHING)
        if account not in scoped.names_seen("account"):
            raise UsageError(f"the ledger knows no account {account!r}")
        found = invoice_of(scoped, account, parse_period(period, today_of(context)))
    if html is not None:
        from mlcost_accounting.reporting.htmlfile import invoice_html

        write_private(html, invoice_html(found, site=context.settings.site.name))
        click.echo(f"wrote {html}", err=True)
        return
    rows = rows_of(found)
    if output_format == "table":
        _print_for_people(found, rows)
    else:
        print_rows(rows, COLUMNS, output_format)


def rows_of(found: Invoice) -> list[dict[str, object]]:
    """Return the lines and entries with exact amounts."""
    from mlcost_accounting.reports import hours

    from mlcost_hpc.money import exact_money

    common = {"account": found.account, "period": found.period.label, "closed": found.closed}
    lines: list[dict[str, object]] = [
        {
            **common,
            "kind": "usage",
            "project": line.project,
            "user": line.user,
            "partition": line.partition,
            "gpu_model": line.gpu_model,
            "runs": line.sums.runs,
            "gpu_hours": hours(line.sums.gpu_s),
            "cpu_hours": hours(line.sums.cpu_s),
            "credit": exact_money(line.sums.credit),
            "cost": exact_money(line.sums.cost),
        }
        for line in found.lines
    ]
    lines += [
        {**common, "kind": entry.kind.lower(), "cost": exact_money(entry.cost), "reason": entry.reason}
        for entry in found.entries
    ]
    return lines


def _print_for_people(found: Invoice, rows: Sequence[Mapping[str, object]]) -> None:
    from mlcost_hpc.money import exact_money, format_money

    state = "closed" if found.closed else "draft, it changes until the period is closed"
    title = f"Invoice {found.period.label}, {found.account} ({state}), amounts in {found.currency}"
    shown = [
        {**row, "project": row.get("project", row["kind"]), "user": row.get("user", row.get("reason"))}
        for row in rows
    ]
    columns = {name: COLUMNS[name] for name in _PEOPLE}
    print_rows(
        shown, columns, "table", title=title, right=("runs", "gpu_hours", "cpu_hours", "credit", "cost")
    )
    if found.corrections:
        click.echo(f"of this, corrections of closed periods: {exact_money(found.corrections)}")
    if found.open_cost:
        click.echo(f"of this, runs that had not ended: {exact_money(found.open_cost)}")
    if not rows:
        click.echo("nothing was charged")
    click.echo(f"to pay: {format_money(found.due)} {found.currency} (exactly {exact_money(found.due)})")
