"""``mlcost submit``: choose the cheapest place that fits, say why, and send the job there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mlcost_hpc.cli.need_options import need_options, rates_option

if TYPE_CHECKING:
    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.launch.choose import Choice
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.launch.record import Submission
    from mlcost_hpc.launch.script import Processes


@click.command()
@need_options
@click.option("--job-name", help="Name of the job; else that of the program.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of the run; else a new one.")
@click.option(
    "--processes",
    type=click.Choice(["one", "per-gpu", "torchrun"]),
    default="one",
    show_default=True,
    help="Processes of COMMAND on each node: one, one per GPU (srun's ranks), or as torchrun starts them.",
)
@rates_option
@click.option("--explain", is_flag=True, help="Show every offer with what speaks for and against it.")
@click.option("--dry-run", is_flag=True, help="Print the batch script and submit nothing.")
@click.option(
    "--over-budget",
    metavar="REASON",
    help="Submit although a budget refuses; the reason goes into the comment.",
)
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table")
@click.argument("command", nargs=-1, required=True)
@click.pass_obj
def submit(
    context: Context,
    /,
    command: tuple[str, ...],
    job_name: str | None,
    run_dir: Path | None,
    rates: Path | None,
    *,
    processes: Processes,
    explain: bool,
    dry_run: bool,
    over_budget: str | None,
    output_format: str,
    **options: Any,
) -> None:
    r"""Submit COMMAND to the cheapest place that fits.

    COMMAND is a command line after `--`, or one module:function that is called without arguments.

    \b
    mlcost submit --gpus 2 --gpu-memory 40 --time 12h -- python train.py --epochs 90
    mlcost submit --gpus 1 --time 2h train:main
    mlcost submit job.sh                  (its #SBATCH lines count; only what they leave open is filled in)

    A job that is preempted or reaches its limit and leaves with exit code 85 is requeued; mlcost_hpc.train
    does that for you. Exit code 3 when nothing fits, 4 when a budget refuses.
    """
    from mlcost_hpc.cli.budget_gate import obey
    from mlcost_hpc.cli.evidence import gather
    from mlcost_hpc.launch.budget_gate import Stake
    from mlcost_hpc.launch.named import is_function_name
    from mlcost_hpc.launch.passthrough import need_of

    launcher = context.launcher(rates)
    directives = _directives_of(command)
    need = context.need(options)
    need = need if directives is None else need_of(directives, need)
    # The past costs a question to slurmdbd; it decides nothing where a job has to fill its time limit.
    choice = launcher.choose(need, gather(launcher, command) if need.work or explain else None)
    if explain:
        from mlcost_hpc.cli.explain import explain_choice

        click.echo(explain_choice(choice, launcher.currency), err=output_format == "json")
    _warn(launcher, choice)
    stake = Stake.of(choice.best, _tasks_of(directives))
    comment = obey(launcher.gate, need.account, [stake], over_budget)
    name = (directives or {}).get("job-name") or job_name or _name_of(command)
    order = _Order(
        launcher, choice, command, name, (run_dir or launcher.new_run_dir(name)).absolute(), comment
    )
    if directives is not None:
        submission = order.hand_written(directives, dry_run=dry_run)
    elif len(command) == 1 and is_function_name(command[0]):
        submission = order.function(dry_run=dry_run)
    else:
        submission = order.command_line(processes, dry_run=dry_run)
    if submission is not None:
        _tell(submission, choice, launcher, output_format)


class _Order(NamedTuple):
    """A job about to be sent, or shown; each kind prints its text on a dry run and gives None."""

    launcher: Launcher
    choice: Choice
    words: tuple[str, ...]
    name: str
    run_dir: Path
    comment: str

    def hand_written(self, directives: dict[str, str], *, dry_run: bool) -> Submission | None:
        from mlcost_hpc.launch.passthrough import filled_in

        options = filled_in(directives, self.choice, self.name)
        if self.comment:
            # Its own comment stays: what sbatch is given takes the place of the script's line.
            options.append(
                f"--comment={' '.join([*filter(None, [directives.get('comment')]), self.comment])}"
            )
        if dry_run:
            click.echo(shlex.join(["sbatch", *options, *self.words]))
            return None
        return self.launcher.submit_script(
            self.words, options, self.choice, name=self.name, run_dir=self.run_dir,
            log=directives.get("output", "slurm-%j.out"),
        )  # fmt: skip

    def function(self, *, dry_run: bool) -> Submission | None:
        named: dict[str, Any] = {"name": self.name, "run_dir": self.run_dir, "comment": self.comment}
        if dry_run:
            script = self.launcher.function_script(self.choice, **named)
            click.echo(self.launcher.render(script), nl=False)
            return None
        return self.launcher.submit_function(self.words[0], self.choice, **named)

    def command_line(self, processes: Processes, *, dry_run: bool) -> Submission | None:
        named: dict[str, Any] = {
            "name": self.name, "run_dir": self.run_dir, "comment": self.comment, "processes": processes,
        }  # fmt: skip
        if dry_run:
            script = self.launcher.script(self.words, self.choice, **named)
            click.echo(self.launcher.render(script), nl=False)
            return None
        return self.launcher.submit(self.words, self.choice, **named)


def _directives_of(command: tuple[str, ...]) -> dict[str, str] | None:
    """Return the #SBATCH options when the command is a hand-written batch script, None when it is not."""
    from mlcost_hpc.launch.passthrough import read_directives

    path = Path(command[0])
    if path.suffix not in (".sh", ".sbatch", ".slurm", ".job") or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    return read_directives(text) if text.startswith("#!") and "\n#SBATCH" in text else None


def _tasks_of(directives: dict[str, str] | None) -> int:
    """Return how many jobs a submission is: a script's ``--array`` runs it once for each index.

    Raises:
        UsageError: when the script's list of indices cannot be read.
    """
    from mlcost_hpc.errors import UnitError, UsageError
    from mlcost_hpc.slurm.array_spec import count_tasks

    if directives is None or not directives.get("array"):
        return 1
    try:
        return count_tasks(directives["array"])
    except UnitError as error:
        raise UsageError(f"the script's #SBATCH lines: {error}") from None


def _warn(launcher: Launcher, choice: Choice) -> None:
    """Say on stderr what a preempted job will suffer where it goes."""
    from mlcost_hpc.launch.preflight import preflight

    best = choice.best
    found = preflight(best.offer, launcher.market.settings, best.forecast.save_s)
    for warning in found.warnings:
        click.echo(f"mlcost: warning: {warning}", err=True)


def _name_of(command: tuple[str, ...]) -> str:
    """Return the name of the program: the script that python runs, else the first word."""
    words = [Path(word).name for word in command]
    script = next((word for word in words if word.endswith((".py", ".sh"))), words[0])
    return script.removesuffix(".py").removesuffix(".sh").partition(":")[0] or "job"


def _tell(submission: Submission, choice: Choice, launcher: Launcher, output_format: str) -> None:
    from mlcost_hpc.cli.output import printable
    from mlcost_hpc.launch.script import equal_partitions, headline

    best = choice.best
    if output_format == "json":
        row = {
            "job_id": submission.job_id,
            "cluster": submission.cluster,
            "partition": best.offer.partition,
            "partitions": list(equal_partitions(choice)),
            "gpu_type": best.offer.gpu_type or None,
            "gpu_model": best.offer.gpu_model or None,
            "gpus": best.shape.gpus * best.shape.nodes,
            "nodes": best.shape.nodes,
            "preemptible": best.offer.can_be_preempted,
            "per_hour": f"{best.per_hour:.6f}",
            "expected_cost": f"{best.forecast.cost:.6f}",
            "currency": launcher.currency,
            "run_dir": str(submission.run_dir),
            "log": submission.log,
        }
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(f"job {submission.job_id}: {headline(choice)} {launcher.currency}")
    click.echo(f"log: {printable(submission.log)}")
