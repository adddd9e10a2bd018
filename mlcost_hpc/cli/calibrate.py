"""``mlcost calibrate``: run a job for a few minutes on every GPU type, to know its speed on each."""

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

_PEOPLE = {
    "job_id": "job",
    "gpu_model": "GPU",
    "partition": "partition",
    "cost": "at most",
    "run_dir": "folder",
}
_DEFAULT_MINUTES = "5m"


@click.command()
@need_options
@rates_option
@click.option("--dry-run", is_flag=True, help="Show what would be submitted, and at what cost.")
@format_option
@click.argument("command", nargs=-1, required=True)
@click.pass_obj
def calibrate(
    context: Context,
    /,
    command: tuple[str, ...],
    rates: Path | None,
    *,
    dry_run: bool,
    output_format: Format,
    **options: Any,
) -> None:
    """Run COMMAND for five minutes (--time) on every GPU type that fits, each where it is cheapest.

    Needs the training loop of mlcost_hpc.train, which writes steps per second. The same COMMAND is estimated
    and placed by these figures from then on.
    """
    options["time"] = options["time"] or _DEFAULT_MINUTES
    launcher = context.launcher(rates)
    choice = launcher.choose(context.need(options))
    rows = []
    for candidate in one_a_model(choice):
        row = {
            "gpu_model": candidate.offer.label,
            "partition": candidate.offer.partition,
            "cost": f"{candidate.forecast.cost:.6f}",
        }
        if not dry_run:
            name = f"calibrate-{candidate.offer.label}"
            submission = launcher.submit(
                command,
                only(choice, candidate),
                name=name,
                run_dir=launcher.new_run_dir(name),
                calibrates=True,
            )
            row |= {"job_id": submission.job_id, "run_dir": str(submission.run_dir)}
        rows.append(row)
    print_rows(rows, _PEOPLE if output_format == "table" else {name: name for name in _PEOPLE}, output_format)


def one_a_model(choice: Choice) -> list[Candidate]:
    """Return the best candidate of every GPU model."""
    best: dict[str, Candidate] = {}
    for candidate in choice.ranked:
        best.setdefault(candidate.offer.label, candidate)
    return list(best.values())


def only(choice: Choice, candidate: Candidate) -> Choice:
    """Return a choice that takes this candidate."""
    import msgspec

    return msgspec.structs.replace(choice, ranked=(candidate,), late=())
