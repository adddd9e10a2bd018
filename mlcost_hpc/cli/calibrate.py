"""``mlcost calibrate``: run a job for a few minutes on every GPU type, to know its speed on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.need_options import need_options, rates_option
from mlcost_hpc.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.cli.output import Format
    from mlcost_hpc.launch.choose import Candidate, Choice
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.record import Submission

COLUMNS = (
    "gpu_model", "gpus", "partition", "cost", "currency", "job_id", "run_dir", "steps_per_second",
    "peak_memory_gib", "cost_per_1000_steps",
)  # fmt: skip
_SENT = {
    "job_id": "job", "gpu_model": "GPU", "gpus": "GPUs", "partition": "partition", "cost": "at most",
    "run_dir": "folder",
}  # fmt: skip
_DONE = {
    "job_id": "job", "gpu_model": "GPU", "gpus": "GPUs", "partition": "partition",
    "steps_per_second": "steps a second", "peak_memory_gib": "peak GiB", "cost_per_1000_steps": "1000 steps",
}  # fmt: skip
_NUMBERS = ("gpus", "cost", "steps_per_second", "peak_memory_gib", "cost_per_1000_steps")
_DEFAULT_MINUTES = "5m"


@click.command()
@need_options
@rates_option
@click.option("--again", is_flag=True, help="Measure also where this COMMAND was measured before.")
@click.option("--wait", is_flag=True, help="Wait until all have ended, and show what they measured.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted, and at what cost.")
@click.option(
    "--over-budget",
    metavar="REASON",
    help="Submit although a budget refuses; the reason goes into the comment.",
)
@format_option
@click.argument("command", nargs=-1, required=True)
@click.pass_obj
def calibrate(
    context: Context,
    /,
    command: tuple[str, ...],
    rates: Path | None,
    *,
    again: bool,
    wait: bool,
    dry_run: bool,
    over_budget: str | None,
    output_format: Format,
    **options: Any,
) -> None:
    """Run COMMAND for five minutes (--time) on every GPU type that fits, each where it is cheapest.

    Needs the training loop of mlcost_hpc.train, which writes steps per second and the peak of GPU memory. The
    same COMMAND is estimated and placed by these figures from then on, other arguments of the same program
    partly. One job a GPU type: the tasks of an array cannot ask for different GPUs. --budget holds for all
    of them together; exit code 4 when it, or a budget of the account, is too small.
    """
    from mlcost_hpc.cli.budget_gate import obey
    from mlcost_hpc.cli.evidence import gather
    from mlcost_hpc.launch.budget_gate import Stake

    options["time"] = options["time"] or _DEFAULT_MINUTES
    launcher = context.launcher(rates)
    need = context.need(options)
    evidence = gather(launcher, command)
    choice = launcher.choose(undemanding(need), evidence)
    known = () if again else {(item.gpu_model, item.gpus) for item in evidence.own}
    candidates = unmeasured(one_a_model(choice), known)
    if not candidates:
        click.echo("mlcost: measured already on every GPU type that fits; --again measures anew", err=True)
    obey_need(need, candidates, launcher.currency)
    comment = ""
    if candidates and not dry_run:
        comment = obey(launcher.gate, need.account, [Stake.of(item) for item in candidates], over_budget)
    rows = [_row(item, launcher.currency) for item in candidates]
    if not dry_run:
        submissions = [_submit(launcher, command, choice, item, comment) for item in candidates]
        for row, submission in zip(rows, submissions, strict=True):
            row |= {"job_id": submission.job_id, "run_dir": str(submission.run_dir)}
        if wait and submissions:
            rows = [
                _measured(row, item) for row, item in zip(rows, _ended(launcher, submissions), strict=True)
            ]
    people = _DONE if wait and not dry_run else _SENT
    shown = people if output_format == "table" else {name: name for name in COLUMNS}
    print_rows(rows, shown, output_format, right=_NUMBERS)
    if wait and not dry_run:
        _complain(rows)


def undemanding(need: Need) -> Need:
    """Return a need without what a short run cannot meet: there is no work to finish, and no deadline."""
    import msgspec

    return msgspec.structs.replace(need, work=None, deadline_s=None, budget=None)


def one_a_model(choice: Choice) -> list[Candidate]:
    """Return the best candidate of every GPU model."""
    best: dict[str, Candidate] = {}
    for candidate in choice.ranked:
        best.setdefault(candidate.offer.label, candidate)
    return list(best.values())


def unmeasured(candidates: Sequence[Candidate], known: Collection[tuple[str, int]]) -> list[Candidate]:
    """Return the candidates on whose GPUs nothing was measured yet.

    Args:
        candidates: where the job fits.
        known: GPU models with the number on which the job was measured.
    """
    return [item for item in candidates if (item.offer.gpu_model, item.gpus) not in known]


def obey_need(need: Need, candidates: Sequence[Candidate], currency: str) -> None:
    """Refuse when all calibrations together may cost more than the need's budget.

    Raises:
        BudgetError: naming what they cost.
    """
    from mlcost_hpc.errors import BudgetError

    total = sum((item.forecast.cost for item in candidates), need.hour_value * 0)
    if need.budget is not None and total > need.budget:
        raise BudgetError(
            f"the budget is {need.budget} {currency}; the {len(candidates)} calibrations cost up to "
            f"{total:.4f}: take fewer GPU types (--gpu-type) or less time (--time)"
        )


def only(choice: Choice, candidate: Candidate) -> Choice:
    """Return a choice that takes this candidate."""
    import msgspec

    return msgspec.structs.replace(choice, ranked=(candidate,), late=())


def _row(candidate: Candidate, currency: str) -> dict[str, Any]:
    return {
        "gpu_model": candidate.offer.label,
        "gpus": candidate.gpus,
        "partition": candidate.offer.partition,
        "cost": f"{candidate.forecast.cost:.6f}",
        "currency": currency,
    }


def _submit(
    launcher: Launcher, command: tuple[str, ...], choice: Choice, candidate: Candidate, comment: str
) -> Submission:
    name = f"calibrate-{candidate.offer.label}"
    return launcher.submit(
        command,
        only(choice, candidate),
        name=name,
        run_dir=launcher.new_run_dir(name),
        comment=comment,
        calibrates=True,
    )


def _ended(launcher: Launcher, submissions: Sequence[Submission]) -> Sequence[Submission]:
    """Return the submissions once all have ended; say meanwhile how many have not."""
    from mlcost_hpc.launch.finish import until_ended

    left = len(submissions) + 1
    for alive in until_ended(launcher.slurm, [item.job_id for item in submissions]):
        if len(alive) < left:
            left = len(alive)
            click.echo(f"mlcost: {left} of {len(submissions)} calibrations to go", err=True)
    return submissions


def _measured(row: dict[str, Any], submission: Submission) -> dict[str, Any]:
    """Return a row with what its run measured; without it where it measured nothing."""
    from mlcost_hpc.train.attempts import read_attempts

    speeds = [item for item in read_attempts(submission.run_dir) if item.steps_per_second]
    if not speeds:
        return row
    last = speeds[-1]
    per_hour = float(submission.choice.best.per_hour)
    peak = last.peak_memory
    return row | {
        "steps_per_second": f"{last.steps_per_second:.4g}",
        "peak_memory_gib": None if peak is None else f"{peak / 1024**3:.2f}",
        "cost_per_1000_steps": f"{per_hour / 3.6 / (last.steps_per_second or 1):.6f}",
    }


def _complain(rows: Sequence[dict[str, Any]]) -> None:
    """Say which calibrations measured nothing, and where to look.

    Raises:
        MlcostError: when none measured anything.
    """
    from mlcost_hpc.errors import MlcostError

    failed = [row for row in rows if row.get("steps_per_second") is None]
    if rows and len(failed) == len(rows):
        raise MlcostError(
            "no calibration measured anything: COMMAND must use the training loop of mlcost_hpc.train and do "
            f"some steps within --time; see the log in {rows[0]['run_dir']}"
        )
    for row in failed:
        click.echo(f"mlcost: job {row['job_id']} measured nothing: see the log in {row['run_dir']}", err=True)
