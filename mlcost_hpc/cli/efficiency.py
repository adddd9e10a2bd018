"""``mlcost efficiency``: how much of what jobs held they used."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.site import today_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.cli.context import Context

_SHARES = ("cpu", "memory", "gpu")


@click.command()
@click.option("--by", default="account,user", show_default=True, help="What to group by, comma-separated.")
@click.option(
    "--period", default="this-month", show_default=True, help="Such as 2026-10, 2026-Q4, last-week."
)
@ledger_option
@format_option
@click.pass_obj
def efficiency(context: Context, by: str, period: str, ledger: Path | None, output_format: Format) -> None:
    """Show how much of the CPUs, memory and GPUs that finished jobs held they used, in percent.

    The figures come from `mlcost ingest --steps`. What Slurm did not measure is left out, not taken for zero;
    so is a figure above what was held, which a broken source gives: the last column names those.
    """
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.dims import Dims
    from mlcost_accounting.efficiency import by_group
    from mlcost_accounting.ledger.efficiency import runs_with_use
    from mlcost_accounting.periods import parse_period

    names = [name for name in by.split(",") if name]
    unknown = [name for name in names if name not in Dims._fields]
    if unknown:
        raise UsageError(f"cannot group by {', '.join(unknown)}: take {', '.join(Dims._fields)}")
    span = parse_period(period, today_of(context))
    calendar = Calendar(context.settings.zone)
    with open_up_to_date(context, ledger) as books:
        runs = runs_with_use(
            books, calendar.begins(span.first), calendar.begins(span.last + timedelta(days=1))
        )
        groups = by_group(runs, names)
    rows = [
        {
            **dict(zip(names, key, strict=True)),
            "runs": found.runs,
            "measured": found.measured,
            **{name: _percent(found.share(name)) for name in _SHARES},
            "doubts": found.doubts,
        }
        for key, found in sorted(groups.items())
    ]
    columns = {name: name for name in names} | {
        "runs": "runs", "measured": "measured", "cpu": "CPU %", "memory": "memory %", "gpu": "GPU %",
        "doubts": "left out",
    }  # fmt: skip
    print_rows(rows, columns, output_format, right=("runs", "measured", *_SHARES))


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}".removesuffix("%")
