"""``mlcost compress``: compression batches, from a plan to one honest table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mlcost_hpc.cli.need_options import rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows, printable
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.economics import Prices
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Result
    from mlcost_hpc.launch.launcher import Launcher

_BATCH = click.Path(path_type=Path, exists=True)
_retry_option = click.option(
    "--retry-failed", is_flag=True, help="Also do failed tasks again, whatever the cause."
)


@click.group()
def compress() -> None:
    """Compress many models as one Slurm array, and see what each recipe really did."""


@compress.command()
@click.argument("plan", type=_BATCH)
@_retry_option
def run(plan: Path, retry_failed: bool) -> None:
    """Do a plan's tasks here, one after the other, without Slurm; what is finished is not done again."""
    from mlcost_hpc.compress.local import run_here

    batch, manifest = _planned(plan)
    if retry_failed:
        _retry(batch, manifest)
    todo = _missing(batch, manifest)
    click.echo(f"{batch.folder}: {len(todo)} of {len(manifest.tasks)} tasks to do", err=True)
    run_here(batch, manifest, todo, _tell)


@compress.command()
@click.argument("plan", type=_BATCH)
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
    rates: Path | None,
) -> None:
    """Submit what is missing of a plan as array jobs, to the cheapest nodes that fit.

    What is finished, queued or running is left alone; what ran out of memory gets twice as much.
    """
    from mlcost_hpc.compress.submit import Orders
    from mlcost_hpc.compress.submit import submit as send
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.units import parse_memory, parse_time_limit

    launcher = context.launcher(rates)
    batch, manifest = _planned(plan)
    if retry_failed:
        _retry(batch, manifest)
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
    sent = send(batch, manifest, launcher, orders)
    for item in sent:
        count = sum(len(ids) for ids in item.packs)
        what = "models to prepare" if item.kind == "prepare" else "tasks"
        click.echo(
            f"job {item.job}: {count} {what} in {len(item.packs)} array tasks on {item.partition}, "
            f"{item.per_hour:.4f} {item.currency}/h each"
        )
    if not sent:
        click.echo("nothing to submit: every task is finished, queued or running")


@compress.command()
@click.argument("plan", type=_BATCH)
@format_option
@click.pass_obj
def status(context: Context, plan: Path, output_format: Format) -> None:
    """Show how far a batch is: finished tasks by status, the others by what Slurm says of them.

    `lost` tasks have no row and are not in the queue any more: submit again and only they run.
    """
    from mlcost_hpc.compress.progress import count_statuses, whereabouts

    batch, manifest = _existing(plan)
    results = batch.results(manifest.tasks)
    counts: dict[str, int] = dict(count_statuses(results).items())
    open_tasks = {task.id for task in manifest.tasks} - {result.task for result in results}
    counts |= whereabouts(open_tasks, _task_states(context, batch))
    rows: list[dict[str, object]] = [{"status": name, "tasks": count} for name, count in counts.items()]
    print_rows(rows, {"status": "status", "tasks": "tasks"}, output_format, right=["tasks"])


@compress.command()
@click.argument("plan", type=_BATCH)
@click.option("--serve", multiple=True, metavar="PARTITION", help="Price predictions as served there.")
@click.option("--out", multiple=True, type=click.Path(path_type=Path), help="Also write .html, .parquet, ...")
@rates_option
@format_option
@click.pass_obj
def report(
    context: Context,
    plan: Path,
    serve: tuple[str, ...],
    out: tuple[Path, ...],
    rates: Path | None,
    output_format: Format,
) -> None:
    """Show size, speed, quality and cost of every task, before and after.

    Costs of a million predictions come from the rate card's price of a core, where there is a rate card.
    """
    from mlcost_hpc.cli.output import render_csv, render_json
    from mlcost_hpc.compress import report as reports
    from mlcost_hpc.compress.check import read_checks
    from mlcost_hpc.compress.export import write_report
    from mlcost_hpc.compress.page import render
    from mlcost_hpc.compress.submissions import read_submitted, task_cost
    from mlcost_hpc.compress.summary import summarize

    batch, manifest = _existing(plan)
    results = batch.results(manifest.tasks)
    submitted = read_submitted(batch)
    spent = {r.task: cost for r in results if (cost := task_cost(r, submitted)) is not None}
    checks = {result.task: read_checks(batch, result.task) for result in results}
    extras = reports.Extras(prices=_prices(context, rates, serve), spent=spent, checks=checks)
    order = {model.name: place for place, model in enumerate(manifest.models)}
    rows = reports.rows(results, order, extras)
    people = [reports.for_people(row) for row in rows]
    lines = summarize(results, spent, extras.prices).lines()
    for path in out:
        renders = {
            ".html": lambda: render(manifest.name, lines, people, reports.PAGE_COLUMNS),
            ".csv": lambda: render_csv(rows, list(reports.COLUMNS)),
            ".json": lambda: render_json([{key: row.get(key) for key in reports.COLUMNS} for row in rows]),
        }
        write_report(path, rows, list(reports.COLUMNS), renders)
    if output_format == "table":
        print_rows(people, reports.PEOPLE_COLUMNS, output_format, right=[*reports.PEOPLE_COLUMNS][4:8])
        for line in [*reports.explanations(people), "", *lines]:
            click.echo(printable(line))
    else:
        print_rows(rows, reports.COLUMNS, output_format)


@compress.command()
@click.argument("plan", type=_BATCH)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to copy to.")
@click.option("--prefer", type=click.Choice(["speed", "size"]), default="speed", show_default=True)
def best(plan: Path, out: Path, prefer: Literal["speed", "size"]) -> None:
    """Copy each model's best candidate within all limits, with a card that makes it again."""
    from mlcost_hpc.compress.best import choose_best, copy_best

    batch, manifest = _existing(plan)
    winners = choose_best(batch.results(manifest.tasks), prefer)
    for folder in copy_best(batch, manifest, winners, out):
        click.echo(f"{folder}: {printable(winners[folder.name].reason)}")
    for model in manifest.models:
        if model.name not in winners:
            click.echo(f"{model.name}: no candidate within all limits", err=True)


@compress.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--recipe", "recipes", multiple=True, default=["auto"], show_default=True, help="Repeatable.")
@click.option("--out", default="plan.toml", show_default=True, type=click.Path(path_type=Path))
def plan(models: tuple[Path, ...], recipes: tuple[str, ...], out: Path) -> None:
    """Write a plan for ONNX files; a .npz beside a model, with its name, is its evaluation data."""
    from mlcost_hpc.compress.newplan import plan_text
    from mlcost_hpc.compress.plan import load_plan

    if out.exists():
        raise UsageError(f"{out} exists already")
    out.write_text(plan_text(models, recipes, out.parent), encoding="utf-8")
    load_plan(out)
    click.echo(f"wrote {out}: edit it, then mlcost compress submit {out}")


@compress.command()
@click.argument("plan", type=_BATCH)
@click.option("--submit", "partition", metavar="PARTITION", help="Check there, as an array, instead of here.")
@rates_option
@format_option
@click.pass_obj
def check(
    context: Context, plan: Path, partition: str | None, rates: Path | None, output_format: Format
) -> None:
    """Run the candidates on this node and compare their answers with those of the node they were made on."""
    batch, manifest = _existing(plan)
    if partition is None:
        _check_here(batch, manifest, output_format)
    else:
        _send_checks(context.launcher(rates), batch, manifest, partition)


def _send_checks(launcher: Launcher, batch: Batch, manifest: Manifest, partition: str) -> None:
    from mlcost_hpc.compress.submit import Orders, submit_checks
    from mlcost_hpc.launch.need import Need

    need = Need(cpus=manifest.settings.threads, time_s=1800, partitions=(partition,))
    for item in submit_checks(batch, manifest, launcher, Orders(need=need)):
        click.echo(f"job {item.job}: {len(item.packs)} checks on {item.partition}")


def _check_here(batch: Batch, manifest: Manifest, output_format: Format) -> None:
    from mlcost_hpc.compress.check import check_here

    rows = []
    for result in batch.results(manifest.tasks):
        if result.status == "ok":
            found = check_here(batch, manifest, manifest.task(result.task))
            rows.append(
                {
                    "model": result.model,
                    "recipe": result.recipe,
                    "made_on": result.place.node_class if result.place else None,
                    "checked_on": found.node_class,
                    "relative_error": found.relative_error,
                    "agreement": found.agreement,
                    "same": found.passed,
                }
            )
    columns = {
        "model": "model",
        "recipe": "recipe",
        "made_on": "made on",
        "checked_on": "checked on",
        "relative_error": "relative error",
        "agreement": "agreement",
        "same": "same answers",
    }
    print_rows(rows, columns, output_format, right=["relative_error", "agreement"])


@compress.command()
@format_option
def node(output_format: Format) -> None:
    """Show this node's processor class, as plans name it under `serving`."""
    from mlcost_hpc.compress import node as nodes

    name, flags = nodes.read_processor()
    row = {
        "node_class": nodes.node_class(flags),
        "processor": name,
        "flags": " ".join(flag for flag in nodes.FLAGS if flag in flags),
    }
    print_rows([row], {"node_class": "class", "processor": "processor", "flags": "flags"}, output_format)


def _task_states(context: Context, batch: Batch) -> dict[str, str]:
    """Return task -> Slurm's state word of its newest try; empty for a batch that was never submitted."""
    from mlcost_hpc.compress.submissions import read_submitted, states_by_task
    from mlcost_hpc.compress.submit import ask_states

    submitted = read_submitted(batch)
    return states_by_task(submitted, ask_states(context.slurm, submitted)) if submitted else {}


def _prices(context: Context, rates: Path | None, serve: tuple[str, ...]) -> Prices | None:
    """Return the price of a core where models will be served; None without a rate card."""
    from mlcost_hpc.compress.economics import Prices
    from mlcost_hpc.rates import Resources

    if rates is None and context.settings.paths.rates is None:
        return None
    book = context.rates(rates)
    card = book.card_now(context.settings.zone)
    places = {name: card.per_hour(Resources(cpus=1), name) for name in serve or ("",)}
    return Prices(currency=book.currency, core_hour=places)


def _planned(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan, its manifest written anew."""
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import expand
    from mlcost_hpc.compress.plan import load_plan

    if path.is_dir():
        return _existing(path)
    plan = load_plan(path)
    manifest = expand(plan, path)
    batch = Batch(_folder(path, plan.folder))
    batch.write_manifest(manifest)
    return batch, manifest


def _existing(path: Path) -> tuple[Batch, Manifest]:
    """Return the batch of a plan or of a batch folder, as it was last planned."""
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.plan import load_plan

    batch = Batch(path if path.is_dir() else _folder(path, load_plan(path).folder))
    if not batch.manifest_path.exists():
        raise UsageError(f"{path} has not been run or submitted yet")
    return batch, batch.manifest()


def _folder(plan: Path, named: str | None) -> Path:
    """Return the batch folder of a plan: the named one, else ``<plan>-batch`` beside it."""
    return plan.parent / (named or f"{plan.stem}-batch")


def _retry(batch: Batch, manifest: Manifest) -> None:
    from mlcost_hpc.compress.progress import forget_failures

    count = forget_failures(batch, batch.results(manifest.tasks))
    click.echo(f"{count} failed tasks are done again", err=True)


def _missing(batch: Batch, manifest: Manifest) -> tuple[Task, ...]:
    from mlcost_hpc.compress.progress import missing

    return missing(manifest.tasks, {result.task: result for result in batch.results(manifest.tasks)})


def _tell(result: Result) -> None:
    click.echo(printable(f"{result.model} {result.recipe}: {result.status}: {result.reason}"))
