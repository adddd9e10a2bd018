"""``mlcost offers``: what every partition and GPU type costs, can do, and has free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.need_options import rates_option
from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format
    from mlcost_hpc.launch.offers import Offer

COLUMNS = (
    "partition", "gpu_type", "gpu_model", "gpu_hour", "currency", "gpu_memory_gib", "tflops",
    "tflops_per_currency", "gpus_idle", "gpus_total", "cpus_idle", "cpus_total", "nodes", "preemptible",
    "preempt_mode", "grace_time_s", "qos", "max_time_s", "billing_weights", "notes",
)  # fmt: skip


@click.command()
@click.option("--partition", "partitions", multiple=True, help="Only this partition; can be repeated.")
@rates_option
@format_option
@click.pass_obj
def offers(context: Context, partitions: tuple[str, ...], rates: Path | None, output_format: Format) -> None:
    """List partitions and GPU types with price, memory, peak speed and what is free.

    Prices are those of the rate card with the partition's multiplier. Speed is the peak of dense 16-bit
    arithmetic: it says what a GPU could do, not what your program does on it. Where jobs preempt by QOS,
    what is said of preemption holds for a job with your default QOS.
    """
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.qos_preemption import outlook_notes

    launcher = context.launcher(rates)
    listed = [
        offer for offer in launcher.offers_for(Need()) if not partitions or offer.partition in partitions
    ]
    if output_format == "table":
        title = f"Offers of {launcher.market.settings.cluster}, prices in {launcher.currency}"
        right = [name for name in _PEOPLE if name not in ("partition", "gpu", "preempted")]
        print_rows([_for_people(offer) for offer in listed], _PEOPLE, "table", title=title, right=right)
        notes = sorted({f"{offer.partition}: {note}" for offer in listed for note in offer.notes})
        for note in (*notes, *outlook_notes(launcher.outlook(Need()))):
            click.echo(f"mlcost: {note}", err=True)
    else:
        rows = [_row(offer, launcher.currency) for offer in listed]
        if output_format == "csv":
            rows = [{**row, "notes": "; ".join(row["notes"])} for row in rows]
        print_rows(rows, {name: name for name in COLUMNS}, output_format)


_PEOPLE = {
    "partition": "partition",
    "gpu": "GPU",
    "price": "an hour",
    "memory": "GiB",
    "tflops": "TFLOPS",
    "efficiency": "per price",
    "idle": "idle",
    "total": "of",
    "preempted": "preempted",
    "limit": "limit",
}


def _row(offer: Offer, currency: str) -> dict[str, Any]:
    return {
        "partition": offer.partition,
        "gpu_type": offer.gpu_type if offer.has_gpus else None,
        "gpu_model": offer.gpu_model or None,
        "gpu_hour": offer.gpu_hour,
        "currency": currency,
        "gpu_memory_gib": None if offer.gpu_memory is None else offer.gpu_memory / 1024**3,
        "tflops": offer.tflops,
        "tflops_per_currency": None if offer.efficiency is None else round(offer.efficiency, 3),
        "gpus_idle": offer.gpus_idle,
        "gpus_total": offer.gpus_total,
        "cpus_idle": offer.cpus_idle,
        "cpus_total": offer.cpus_total,
        "nodes": offer.nodes,
        "preemptible": offer.can_be_preempted,
        "preempt_mode": offer.preempt_mode or None,
        "grace_time_s": offer.grace_time_s,
        "qos": offer.qos or None,
        "max_time_s": offer.max_time_s,
        "billing_weights": weights_text(offer) or None,
        "notes": list(offer.notes),
    }


def weights_text(offer: Offer) -> str:
    """Return Slurm's billing weights as its settings file would say them: ``cpu=0.25,mem=0.02G``."""
    return ",".join(
        f"{name}={float(weight * 1024):.4g}G" if name == "mem" else f"{name}={float(weight):.4g}"
        for name, weight in offer.billing_weights.items()
    )


def _for_people(offer: Offer) -> dict[str, Any]:
    memory = "?" if offer.gpu_memory is None else f"{offer.gpu_memory / 1024**3:g}"
    speed = "?" if offer.tflops is None else f"{offer.tflops:g}"
    return {
        "partition": offer.partition,
        "gpu": offer.label,
        "price": price(offer.gpu_hour),
        "memory": memory if offer.has_gpus else None,
        "tflops": speed if offer.has_gpus else None,
        "efficiency": None if offer.efficiency is None else f"{offer.efficiency:.0f}",
        "idle": offer.gpus_idle if offer.has_gpus else offer.cpus_idle,
        "total": offer.gpus_total if offer.has_gpus else offer.cpus_total,
        "preempted": preempted(offer),
        "limit": "none" if offer.max_time_s is None else short_duration(offer.max_time_s),
    }


def preempted(offer: Offer) -> str:
    """Return in a word what a preemption does to a job on an offer."""
    if offer.preemptible:
        return offer.preempt_mode.lower()
    return "?" if offer.can_be_preempted is None else "never"


def short_duration(seconds: int) -> str:
    """Return a duration with its two largest units: ``2d``, ``1d12h``, ``90m`` as ``1h30m``."""
    parts = []
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts[:2]) or "0s"


def price(amount: Decimal | None) -> str:
    """Return a price for people: at least two decimals, four where it is small."""
    if amount is None:
        return "no price"
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.4f}"
