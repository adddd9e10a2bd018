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

    from mlcost_accounting.reconcile import Comparison

    from mlcost_hpc.cli.context import Context


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

    Hours are CPU and GPU hours; each difference is shown with what can be behind it. Against limits is
    not of the window: it is what the controller has now, expected is what it should have by the ledger.
    Ends with 1 when ledger and sreport differ, or when what counts against limits is unexplained.
    The operator's page shows the newest one of each cluster.
    """
    import msgspec
    from mlcost_accounting.ledger.reconciliations import keep_reconciliation
    from mlcost_accounting.reconcile import HOUR_S, Limits, compare, hours_before

    from mlcost_hpc.slurm import decay, usage_reports
    from mlcost_hpc.slurm.process import run

    zone = context.settings.zone
    start = parse_when(since, zone) // HOUR_S * HOUR_S
    end = (parse_when(until, zone) if until else int(time.time())) // HOUR_S * HOUR_S
    if start >= end:
        raise UsageError("there is no full hour between --since and --until")
    timeout_s = context.settings.slurm.timeout_s
    config = context.slurm.config()
    cluster = context.settings.slurm.cluster or config["ClusterName"]
    settings = decay.read_usage_decay(config)

    def used(start: int, end: int) -> dict[str, dict[str, int]]:
        argv = usage_reports.sreport_accounts(cluster, start, end)
        return usage_reports.parse_sreport(run(argv, timeout_s=timeout_s).stdout)

    told = used(start, end)
    factors = run(decay.show_usage_factors(), timeout_s=timeout_s).stdout
    counted = run(usage_reports.show_associations(), timeout_s=timeout_s).stdout
    asked = int(time.time())
    limits = Limits(
        counted=usage_reports.parse_associations(counted),
        decay=settings,
        factors=decay.parse_usage_factors(factors),
        asked=asked,
        reset=settings.last_reset(asked, zone),
    )
    with open_up_to_date(context, ledger) as opened:
        earlier = hours_before(opened, cluster, limits.since, asked)
        if earlier:
            limits = msgspec.structs.replace(limits, earlier=used(*earlier), begins=earlier[1])
        found = compare(
            opened,
            cluster,
            start,
            end,
            told,
            limits,
        )
        keep_reconciliation(opened, cluster, start, end, found, int(time.time()))
    rows = [
        {
            "account": line.account,
            "resource": line.resource,
            "ledger_hours": f"{line.ledger_s / HOUR_S:.4f}",
            "sreport_hours": f"{line.sreport_s / HOUR_S:.4f}",
            "difference_s": line.difference_s,
            "limits_hours": f"{line.limits_min / 60:.2f}",
            "expected_hours": f"{line.limits_expected_s / HOUR_S:.2f}",
            "reasons": _reasons(line),
        }
        for line in found
    ]
    headings = {
        "account": "account", "resource": "resource", "ledger_hours": "ledger h",
        "sreport_hours": "sreport h", "difference_s": "difference s", "limits_hours": "against limits h",
        "expected_hours": "expected h",
        "reasons": "what can be behind it",
    }  # fmt: skip
    print_rows(rows, headings, output_format, right=tuple(headings)[2:7])
    if any(line.difference_s or line.limits_unexplained_s for line in found):
        click.get_current_context().exit(1)


def _reasons(line: Comparison) -> str:
    words = list(line.reasons)
    if line.limits_reasons:
        words.append("against limits: " + ", ".join(line.limits_reasons))
    return "; ".join(words)
