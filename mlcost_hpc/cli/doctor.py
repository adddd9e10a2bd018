"""``mlcost doctor``: what kind of Slurm this is, and what will go wrong on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format

COLUMNS = {"status": "", "check": "check", "finding": "finding", "advice": "what follows"}


@click.command()
@format_option
@click.pass_obj
def doctor(context: Context, output_format: Format) -> int:
    """Say which Slurm this is, how it is asked, and what will go wrong on it. Changes nothing.

    Exit code 0 when Slurm can be used, 1 when something does not work at all.
    """
    import os

    from mlcost_hpc.launch.preflight_report import plan_findings
    from mlcost_hpc.people import user_name
    from mlcost_hpc.slurm.diagnosis import diagnose
    from mlcost_hpc.slurm.examine import examine

    connection = context.connection
    facts = examine(
        connection.slurm,
        why=connection.why,
        user=user_name(),
        environ=os.environ,
        timeout_s=context.settings.slurm.timeout_s,
    )
    findings = [*diagnose(facts), *plan_findings(facts)]
    print_rows([msgspec.structs.asdict(finding) for finding in findings], COLUMNS, output_format)
    return 1 if any(finding.status == "error" for finding in findings) else 0
