"""``mlcost reconcile``: the ledger beside Slurm's own sums."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date, parse_when
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.cli.context import Context

_HOUR = 3600


@click.command()
@click.option("--since", default="-1d", show_default=True, help="From when; taken back to a full hour.")
@click.option("--until", help="To when, a full hour; else the last one that is over.")
@ledger_option
@format_option
@click.pass_obj
def reconcile(
    context: Context, since: str, until: str | None, ledger: Path | None, output_format: Format
) -> None:
    """Compare the ledger with sreport and with what the controller counts against limits.

    Hours are CPU and GPU hours within the window; each difference is shown with what can be behind it.
    Ends with 1 when there is a difference. The operator's page shows the newest one of each cluster.
    """
    from mlcost_accounting.ledger.reconciliations import keep_reconciliation
    from mlcost_accounting.reconcile import compare

    from mlcost_hpc.slurm import usage_reports
    from mlcost_hpc.slurm.process import run

    zone = context.settings.zone
    start = parse_when(since, zone) // _HOUR * _HOUR
    end = (parse_when(until, zone) if until else int(time.time())) // _HOUR * _HOUR
    if start >= end:
        raise UsageError("there is no full hour between --since and --until")
    timeout_s = context.settings.slurm.timeout_s
    cluster = context.settings.slurm.cluster or context.slurm.config()["ClusterName"]
    told = run(usage_reports.sreport_accounts(cluster, start, end), timeout_s=timeout_s).stdout
    limits = run(usage_reports.show_associations(), timeout_s=timeout_s).stdout
    with open_up_to_date(context, ledger) as opened:
        found = compare(
            opened,
            cluster,
            start,
            end,
            usage_reports.parse_sreport(told),
            usage_reports.parse_associations(limits),
        )
        keep_reconciliation(opened, cluster, start, end, found, int(time.time()))
    rows = [
        {
            "account": line.account,
            "resource": line.resource,
            "ledger_hours": f"{line.ledger_s / _HOUR:.4f}",
            "sreport_hours": f"{line.sreport_s / _HOUR:.4f}",
            "difference_s": line.difference_s,
            "limits_hours": f"{line.limits_min / 60:.2f}",
            "reasons": "; ".join(line.reasons),
        }
        for line in found
    ]
    headings = {
        "account": "account", "resource": "resource", "ledger_hours": "ledger h",
        "sreport_hours": "sreport h", "difference_s": "difference s", "limits_hours": "against limits h",
        "reasons": "what can be behind it",
    }  # fmt: skip
    print_rows(rows, headings, output_format, right=tuple(headings)[2:6])
    if any(line.difference_s for line in found):
        click.get_current_context().exit(1)
