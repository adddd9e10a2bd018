"""``mlcost report`` and ``mlcost usage``: what was used and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date, span_of_options, span_options
from mlcost_hpc.cli.output import Format, format_option, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcost_hpc.cli.context import Context

_REPORT = ("runs", "wall_hours", "cpu_hours", "gpu_hours", "cost")
_USAGE = ("cpu_hours", "gpu_hours", "node_hours", "wall_hours", "cost")
_HEADINGS = {
    "wall_hours": "wall h", "cpu_hours": "CPU h", "gpu_hours": "GPU h", "node_hours": "node h",
    "gpu_model": "GPU model",
}  # fmt: skip


@click.command()
@click.option("--by", default="account,user", show_default=True, help="What to group by, comma-separated.")
@span_options
@ledger_option
@format_option
@click.pass_obj
def report(
    context: Context,
    by: str,
    month: str | None,
    since: str | None,
    until: str | None,
    ledger: Path | None,
    output_format: Format,
) -> None:
    """Show what accounts and users spent."""
    _show(context, by, month, since, until, ledger, output_format, _REPORT)


@click.command()
@click.option("--by", default="account,user", show_default=True, help="What to group by, comma-separated.")
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
    _show(context, by, month, since, until, ledger, output_format, _USAGE)


def _show(
    context: Context,
    by: str,
    month: str | None,
    since: str | None,
    until: str | None,
    path: Path | None,
    output_format: Format,
    columns: Sequence[str],
) -> None:
    from mlcost_accounting import reports

    groups = [word.strip() for word in by.split(",") if word.strip()]
    first, last = span_of_options(month, since, until)
    with open_up_to_date(context, path) as ledger:
        rows = reports.usage(ledger, groups, first, last)
        currency = ledger.meta("currency") or ""
    refused = sum(row["refused"] for row in rows)
    if not currency:
        rows = [{**row, "cost": None} for row in rows]
    elif refused:
        click.echo(f"mlcost: {refused} parts of runs are not charged: `mlcost problems` says why", err=True)
    if output_format == "table":
        rows = [*(_readable(row) for row in rows), *_total(rows, groups)]
    headings = {name: _HEADINGS.get(name, name) for name in (*groups, *columns)}
    headings["cost"] = f"cost ({currency})" if currency else "cost"
    print_rows(rows, headings, output_format, right=columns)


def _total(rows: Sequence[dict[str, Any]], groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return a last line for people; nothing where one line says it all."""
    if len(rows) < 2 or not groups:
        return []
    from decimal import Decimal

    sums: dict[str, Any] = {
        name: sum((Decimal(row[name] or 0) for row in rows), Decimal(0))
        for name in ("runs", "wall_hours", "cpu_hours", "gpu_hours", "node_hours", "cost")
    }
    if rows[0]["cost"] is None:
        sums["cost"] = None
    return [_readable({**dict.fromkeys(groups, ""), groups[0]: "total", **sums})]


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    from decimal import Decimal

    return {
        **row,
        **{name: f"{row[name]:,.2f}" for name in ("wall_hours", "cpu_hours", "gpu_hours", "node_hours")},
        "runs": f"{row['runs']:,}",
        "cost": None if row["cost"] is None else f"{Decimal(row['cost']):,.2f}",
    }
