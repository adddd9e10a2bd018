"""``mlcost rates``: the rate card, turned into Slurm's billing weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.slurm.api import Node

COLUMNS = {
    "partition": "partition", "what": "of", "exact": "billing units", "billed": "Slurm counts",
    "lost_percent": "lost %",
}  # fmt: skip


@click.group()
def rates() -> None:
    """Use the rate card in Slurm too."""


@rates.command("billing-weights")
@click.option("--per-unit", type=click.IntRange(min=1), help="Billing units of one currency unit an hour.")
@click.option("--partition", "only", multiple=True, help="Only this partition; may be repeated.")
@rates_option
@format_option
@click.pass_obj
def billing_weights(
    context: Context, per_unit: int | None, only: tuple[str, ...], rates: Path | None, output_format: Format
) -> None:
    """Write TRESBillingWeights for slurm.conf, and say what the cut to integers loses.

    The table's lines go to slurm.conf; json and csv hold the effect of the cut on one unit of each resource.
    """
    from mlcost_accounting.billing_weights import flags_of, plain, weights_of

    card = context.rates(rates).card_now(context.settings.zone)
    scale = per_unit or context.settings.budgets.billing_per_unit
    nodes = {node.name: node for node in context.slurm.nodes()}
    rows = []
    lines: list[str] = []
    for partition in context.slurm.partitions():
        if only and partition.name not in only:
            continue
        types = _gpu_types(context, [nodes[name] for name in partition.node_names if name in nodes])
        found = weights_of(card, partition.name, types, scale)
        lines += [f"# {note}" for note in found.notes]
        lines.append(
            f"PartitionName={partition.name} {found.line}" if found.line else f"# {partition.name}: free"
        )
        rows += [
            {
                "partition": partition.name,
                "what": part.what,
                "exact": plain(part.exact),
                "billed": part.billed,
                "lost_percent": f"{part.lost_percent:.2f}",
            }
            for part in found.smallest
        ]
    if output_format == "table":
        click.echo("\n".join([*(f"# {note}" for note in flags_of(card)), *lines, ""]))
        click.echo(f"What is left of one unit alone, at {scale} billing units a currency unit and hour:")
    print_rows(rows, COLUMNS, output_format, right=("exact", "billed", "lost_percent"))


def _gpu_types(context: Context, nodes: list[Node]) -> dict[str, str]:
    """Return GRES type -> GPU model of the GPUs of some nodes."""
    from mlcost_hpc.catalog import normalise

    found = {}
    for gres_type in sorted({name for node in nodes for name in node.gpus}):
        model = context.catalog.find(gres_type)
        found[gres_type] = normalise(gres_type) if model is None else model.key
    return found
