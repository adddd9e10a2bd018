"""``mlcost why-charge``: the arithmetic of one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import book_of, kinds_of, ledger_option, open_up_to_date, rates_option
from mlcost_hpc.cli.output import printable

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_accounting.why import Explanation

    from mlcost_hpc.cli.context import Context


@click.command("why-charge")
@click.argument("job_id")
@click.option("--cluster", help="Only this cluster's job of that number.")
@click.option(
    "--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="table is for people; json is stable, for programs.",
)  # fmt: skip
@rates_option
@ledger_option
@click.pass_obj
def why_charge(
    context: Context,
    job_id: str,
    cluster: str | None,
    output_format: str,
    rates: Path | None,
    ledger: Path | None,
) -> None:
    """Show how the charge of a job comes about, each of its runs line by line."""
    from mlcost_accounting.why import explain_job

    with open_up_to_date(context, ledger) as opened:
        rater = kinds_of(context, book_of(context, rates, opened)).rater
        runs = explain_job(opened, rater, job_id, cluster)
        currency = opened.meta("currency") or ""
    if output_format == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(runs), indent=2).decode())
        return
    for run in runs:
        for line in _lines(run, currency):
            click.echo(printable(line))
        click.echo()


def _lines(run: Explanation, currency: str) -> list[str]:
    project = f", project {run.project}" if run.project != run.account else ""
    lines = [
        f"job {run.job_id} on {run.cluster}: {run.state}, {run.user} for {run.account}{project}",
        f"  partition {run.partition}, QOS {run.qos}; held {run.held or 'nothing'}",
        f"  {run.started or 'not started'} to {run.ended or 'now'}",
        f"  ran {run.elapsed}, suspended {run.suspended}",
        *(f"  {line}" for line in run.lines),
    ]
    for day, cost, corrects in run.days:
        what = f" (corrects {corrects}, which is closed)" if corrects else ""
        lines.append(f"  in the ledger on {day}: {cost or 'refused'}{what}")
    if run.why_not:
        lines.append(f"  not charged: {run.why_not}")
    elif run.total is not None:
        lines.append(f"  total: {run.total} {currency}, credit {run.credit}")
    return lines
