"""``mlcost estimate``: what a job would take and cost at every place that fits; submits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.need_options import need_options, rates_option
from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format
    from mlcost_hpc.launch.choose import Candidate, Choice

COLUMNS = (
    "rank", "partition", "gpu_type", "gpu_model", "gpus", "nodes", "preemptible", "per_hour", "currency",
    "speed_per_second", "speed_low", "speed_high", "speed_source", "speed_basis", "work_h", "wait_s",
    "wait_low_s", "wait_high_s", "wait_basis", "preemptions_per_hour", "preemption_basis", "saved_in_time",
    "stops", "hours", "hours_low", "hours_high", "to_result_h", "to_result_low_h", "to_result_high_h", "cost",
    "cost_low", "cost_high", "score", "on_time", "time_limit_s",
)  # fmt: skip


@click.command()
@need_options
@rates_option
@format_option
@click.argument("command", nargs=-1)
@click.pass_obj
def estimate(
    context: Context,
    /,
    command: tuple[str, ...],
    rates: Path | None,
    output_format: Format,
    **options: Any,
) -> None:
    """Show what COMMAND would take and cost at every place that fits, best first.

    Speeds measured on earlier runs of the same COMMAND are used; without COMMAND, or the first time, say what
    there is to do with --work. Exit code 3 when nothing fits, 4 when all of it is above the budget.
    """
    from mlcost_hpc.cli.evidence import gather
    from mlcost_hpc.cli.explain import explain_choice

    launcher = context.launcher(rates)
    choice = launcher.choose(context.need(options), gather(launcher, command))
    if output_format == "table":
        click.echo(explain_choice(choice, launcher.currency))
    else:
        print_rows(candidate_rows(choice, launcher.currency), {name: name for name in COLUMNS}, output_format)


def candidate_rows(choice: Choice, currency: str) -> list[dict[str, Any]]:
    """Return every candidate with every term, as stable rows."""
    return [candidate_row(number, item, currency) for number, item in enumerate(choice.ranked, start=1)]


def candidate_row(rank: int, candidate: Candidate, currency: str) -> dict[str, Any]:
    """Return one candidate as a row; money as texts, exact to six decimals."""
    offer, expected = candidate.offer, candidate.forecast
    speed = expected.speed
    return {
        "rank": rank,
        "partition": offer.partition,
        "gpu_type": offer.gpu_type or None,
        "gpu_model": offer.gpu_model or None,
        "gpus": candidate.gpus,
        "nodes": candidate.shape.nodes,
        "preemptible": offer.can_be_preempted,
        "per_hour": f"{candidate.per_hour:.6f}",
        "currency": currency,
        "speed_per_second": speed and speed.per_second,
        "speed_low": speed and speed.low,
        "speed_high": speed and speed.high,
        "speed_source": speed and speed.source,
        "speed_basis": speed and speed.basis,
        "work_h": expected.work_h,
        "wait_s": expected.wait.seconds,
        "wait_low_s": expected.wait.low,
        "wait_high_s": expected.wait.high,
        "wait_basis": expected.wait.basis,
        "preemptions_per_hour": expected.interruptions.preemptions_per_hour,
        "preemption_basis": expected.interruptions.basis,
        "saved_in_time": expected.saved,
        "stops": expected.running.stops,
        "hours": expected.hours,
        "hours_low": expected.hours_low,
        "hours_high": expected.hours_high,
        "to_result_h": expected.to_result_h,
        "to_result_low_h": expected.to_result_low,
        "to_result_high_h": expected.to_result_high,
        "cost": f"{expected.cost:.6f}",
        "cost_low": f"{expected.cost_low:.6f}",
        "cost_high": f"{expected.cost_high:.6f}",
        "score": f"{expected.score:.6f}",
        "on_time": expected.on_time,
        "time_limit_s": expected.time_limit_s,
    }
