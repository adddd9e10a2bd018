"""``mlcost compress``: compression batches, from a plan to one honest table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.compress_batches import BATCH, existing, missing, planned, retry
from mlcost_hpc.cli.compress_elsewhere import check, measure, node, orders_at
from mlcost_hpc.cli.compress_results import best, report
from mlcost_hpc.cli.need_options import rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows, printable
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.compress.records import Result

_WHAT = {"prepare": "models to prepare", "task": "tasks", "measure": "models to measure"}

_retry_option = click.option(
    "--retry-failed", is_flag=True, help="Also do failed tasks again, whatever the cause."
)


@click.group()
def compress() -> None:
    """Compress many models as one Slurm array, and see what each recipe really did."""


@compress.command()
@click.argument("plan", type=BATCH)
@_retry_option
def run(plan: Path, retry_failed: bool) -> None:
    """Do a plan's tasks here, one after the other, without Slurm; what is finished is not done again."""
    from mlcost_hpc.compress.local import run_here

    batch, manifest = planned(plan)
    if retry_failed:
        retry(batch, manifest)
    todo = missing(batch, manifest)
    click.echo(f"{batch.folder}: {len(todo)} of {len(manifest.tasks)} tasks to do", err=True)
    run_here(batch, manifest, todo, _tell)


@compress.command()
@click.argument("plan", type=BATCH)
@click.option("--cpus", type=click.IntRange(min=1), help="CPUs of one task; else the plan's threads.")
@click.option("--mem", help="Least memory of one task, e.g. 8G; else from the model's size.")
@click.option("--time", "time_limit", help="Time limit of an array task; else from the plan's task_minutes.")
@click.option("--partition", "partitions", multiple=True, help="Acceptable partition; can be repeated.")
@click.option("--account", help="Account to charge; else your default one.")
@click.option("--qos", help="Quality of service to ask for.")
@click.option(
    "--preemptible/--no-preemptible", default=True, show_default=True, help="Use preemptible nodes."
)
@click.option("--pack", "per_index", default=1, show_default=True, help="Tasks that one array task does.")
@click.option("--throttle", type=click.IntRange(min=1), help="Most array tasks at a time.")
@_retry_option
@click.option("--first-stage/--no-first-stage", default=True, show_default=True, help="Prepare models first.")
@click.option(
    "--then-measure",
    metavar="PARTITION",
    help="Afterwards time each model's front again there, alone on nodes.",
)
@click.option(
    "--over-budget",
    metavar="REASON",
    help="Submit although a budget refuses; the reason goes into the comment.",
)
@rates_option
@click.pass_obj
def submit(
    context: Context,
    plan: Path,
    cpus: int | None,
    mem: str | None,
    time_limit: str | None,
    partitions: tuple[str, ...],
    account: str | None,
    qos: str | None,
    preemptible: bool,
    per_index: int,
    throttle: int | None,
    retry_failed: bool,
    first_stage: bool,
    then_measure: str | None,
    over_budget: str | None,
    rates: Path | None,
) -> None:
    """Submit what is missing of a plan as array jobs, to the cheapest nodes that fit.

    What is finished, queued or running is left alone; what ran out of memory gets twice as much. Exit code 4
    when a budget refuses.
    """
    from mlcost_hpc.cli.compress_gate import obey_for_batch
    from mlcost_hpc.compress.submissions import names_of
    from mlcost_hpc.compress.submit import Orders, submit_measurements
    from mlcost_hpc.compress.submit import submit as send
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.units import parse_memory, parse_time_limit

    launcher = context.launcher(rates)
    batch, manifest = planned(plan)
    if retry_failed:
        retry(batch, manifest)
    seconds = parse_time_limit(time_limit) if time_limit else None
    need = Need(
        cpus=cpus or manifest.settings.threads,
        memory=parse_memory(mem) if mem else None,
        time_s=seconds or round(60 * (manifest.task_minutes * per_index + 5)),
        preemptible=preemptible,
        partitions=partitions,
        account=account,
        qos=qos,
    )
    orders = Orders(need=need, per_index=per_index, throttle=throttle, first_stage=first_stage)
    orders = obey_for_batch(launcher, batch, manifest, orders, over_budget)
    sent = send(batch, manifest, launcher, orders)
    if then_measure:
        tasks = [item for item in sent if item.kind == "task"]
        sent += submit_measurements(
            batch,
            manifest,
            launcher,
            orders_at(manifest, then_measure, None, None),
            models={manifest.task(name).model for item in tasks for name in names_of(item)},
            after=[item.job for item in tasks],
        )
    for item in sent:
        click.echo(
            f"job {item.job}: {len(names_of(item))} {_WHAT[item.kind]} in {len(item.packs)} array tasks on "
            f"{item.partition}, {item.per_hour:.4f} {item.currency}/h each"
        )
    if not sent:
        click.echo("nothing to submit: every task is finished, queued or running")


@compress.command()
@click.argument("plan", type=BATCH)
@format_option
@click.pass_obj
def status(context: Context, plan: Path, output_format: Format) -> None:
    """Show how far a batch is: finished tasks by status, the others by what Slurm says of them.

    `lost` tasks have no row and are not in the queue any more: submit again and only they run.
    """
    from mlcost_hpc.compress.progress import count_statuses, whereabouts
    from mlcost_hpc.compress.submissions import names_of, read_submitted, states_by_task
    from mlcost_hpc.compress.submit import ask_states

    batch, manifest = existing(plan)
    results = batch.results(manifest.tasks)
    counts: dict[str, int] = dict(count_statuses(results).items())
    open_tasks = {task.id for task in manifest.tasks} - {result.task for result in results}
    submitted = read_submitted(batch)
    sent = {name for item in submitted if item.kind == "task" for name in names_of(item)}
    states = states_by_task(submitted, ask_states(context.slurm, submitted)) if submitted else {}
    counts |= whereabouts(open_tasks, states, sent)
    rows: list[dict[str, object]] = [{"status": name, "tasks": count} for name, count in counts.items()]
    print_rows(rows, {"status": "status", "tasks": "tasks"}, output_format, right=["tasks"])


@compress.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--recipe", "recipes", multiple=True, default=["auto"], show_default=True, help="Repeatable.")
@click.option("--out", default="plan.toml", show_default=True, type=click.Path(path_type=Path))
def plan(models: tuple[Path, ...], recipes: tuple[str, ...], out: Path) -> None:
    """Write a plan for ONNX files; a .npz beside a model, with its name, is its evaluation data."""
    from mlcost_hpc.compress.newplan import plan_text
    from mlcost_hpc.compress.plan import load_plan
    from mlcost_hpc.compress.validate import check_contents

    if out.exists():
        raise UsageError(f"{out} exists already")
    out.write_text(plan_text(models, recipes, out.parent), encoding="utf-8")
    check_contents(load_plan(out), out)
    click.echo(f"wrote {out}: edit it, then mlcost compress submit {out}")


def _tell(result: Result) -> None:
    click.echo(printable(f"{result.model} {result.recipe}: {result.status}: {result.reason}"))


for command in (report, best, check, measure, node):
    compress.add_command(command)
