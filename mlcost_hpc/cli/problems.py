"""``mlcost problems``: what could not be charged, and what could not be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date
from mlcost_hpc.cli.output import Format, format_option, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.cli.context import Context

_WIDEST = 200


@click.command()
@ledger_option
@format_option
@click.pass_obj
def problems(context: Context, ledger: Path | None, output_format: Format) -> None:
    """Show why runs and reservations are not charged, and what of Slurm's answers could not be read."""
    from mlcost_accounting.ledger import queries
    from mlcost_accounting.ledger.capacity_sums import refused_reservations
    from mlcost_accounting.ledger.rejects import list_rejects

    with open_up_to_date(context, ledger) as opened:
        rows = [
            {"kind": row["kind"], "words": row["words"], "count": row["runs"], "last_seen": None}
            for row in queries.problems(opened)
        ]
        rows += [{"kind": "reservation", **row, "last_seen": None} for row in refused_reservations(opened)]
        rows += [
            {
                "kind": "unreadable",
                "words": f"{row['why']}: {row['words'][:_WIDEST]!r}",
                "count": row["times"],
                "last_seen": datetime.fromtimestamp(row["seen"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for row in list_rejects(opened)
        ]
    headings = {"kind": "kind", "words": "what", "count": "how many", "last_seen": "last seen"}
    print_rows(rows, headings, output_format, right=("count",))
