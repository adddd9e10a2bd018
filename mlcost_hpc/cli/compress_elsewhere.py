"""``mlcost compress check|measure|node``: candidates on other processors, and on nodes of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.compress_batches import BATCH, existing
from mlcost_hpc.cli.need_options import rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows, printable
from mlcost_hpc.errors import CompressError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.check import Check
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Measurement
    from mlcost_hpc.compress.submissions import Submitted
    from mlcost_hpc.compress.submit import Orders

_submit_option = click.option(
    "--submit", "partition", metavar="PARTITION", help="Do it there, as an array, instead of here."
)
_constraint_option = click.option(
    "--constraint", metavar="FEATURES", help="With --submit: node features, as sbatch takes them."
)
_time_option = click.option("--time", "time_limit", help="With --submit: time limit of an array task.")


@click.command()
@click.argument("plan", type=BATCH)
@_submit_option
@_constraint_option
@_time_option
@click.option(
    "--like",
    metavar="CLASS",
    help="Here, but without what an older class lacks: avx512_vnni, avx512, avx2, x86.",
)
@click.option("--emulate", metavar="CPU", help="Here, on a processor that QEMU emulates: Haswell, Nehalem.")
@rates_option
@format_option
@click.pass_obj
def check(
    context: Context,
    plan: Path,
    partition: str | None,
    constraint: str | None,
    time_limit: str | None,
    like: str | None,
    emulate: str | None,
    rates: Path | None,
    output_format: Format,
) -> None:
    """Run the candidates on another processor and compare their answers with those where they were made.

    On this node, with --submit on a partition (and --constraint on nodes with a feature), with --like on this
    node as an older class of processors would, with --emulate on a processor that QEMU emulates. What differs
    is not portable, and wrong where that class serves.
    """
    from mlcost_hpc.compress.submit import submit_checks

    batch, manifest = existing(plan)
    _refuse_both({"--submit": partition, "--like": like, "--emulate": emulate}, constraint)
    if partition is None:
        _check(batch, manifest, _checker(batch, manifest, like, emulate), output_format)
        return
    orders = orders_at(manifest, partition, constraint, time_limit)
    _tell(submit_checks(batch, manifest, context.launcher(rates), orders), "checks")


@click.command()
@click.argument("plan", type=BATCH)
@_submit_option
@_constraint_option
@_time_option
@rates_option
@format_option
@click.pass_obj
def measure(
    context: Context,
    plan: Path,
    partition: str | None,
    constraint: str | None,
    time_limit: str | None,
    rates: Path | None,
    output_format: Format,
) -> None:
    """Time the candidates on each model's front again, on nodes that nobody else uses.

    With --submit as an --exclusive array, one array task a model. The report goes by these figures from then
    on: what is slower when it is alone is slower.
    """
    from mlcost_hpc.compress.submit import submit_measurements

    batch, manifest = existing(plan)
    _refuse_both({"--submit": partition}, constraint)
    if partition is None:
        _measure(batch, manifest, output_format)
        return
    orders = orders_at(manifest, partition, constraint, time_limit)
    models = {row.model for row in batch.results(manifest.tasks)}
    sent = submit_measurements(batch, manifest, context.launcher(rates), orders, models=models)
    _tell(sent, "models to measure")


@click.command()
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


def orders_at(manifest: Manifest, partition: str, constraint: str | None, time_limit: str | None) -> Orders:
    """Return how to submit to one partition."""
    from mlcost_hpc.compress.submit import Orders
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.units import parse_time_limit

    seconds = parse_time_limit(time_limit) if time_limit else None
    need = Need(cpus=manifest.settings.threads, time_s=seconds or 1800, partitions=(partition,))
    return Orders(need=need, options={"constraint": constraint} if constraint else {})


def _refuse_both(places: Mapping[str, str | None], constraint: str | None) -> None:
    given = [option for option, value in places.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other")
    if constraint is not None and places["--submit"] is None:
        raise UsageError("--constraint goes with --submit")


def _tell(sent: Sequence[Submitted], what: str) -> None:
    for item in sent:
        click.echo(
            f"job {item.job}: {len(item.packs)} {what} on {item.partition}, "
            f"{item.per_hour:.4f} {item.currency}/h each"
        )
    if not sent:
        click.echo("nothing to submit: no row has a candidate")


def _checker(
    batch: Batch, manifest: Manifest, like: str | None, emulate: str | None
) -> Callable[[Task], Check]:
    """Return what checks a task's candidate on the processor that was asked for."""
    from mlcost_hpc.compress.check import check_here
    from mlcost_hpc.compress.emulated import check_emulated
    from mlcost_hpc.compress.hidden import check_like

    if like is not None:
        return partial(check_like, batch, node_class=like)
    if emulate is not None:
        return partial(check_emulated, batch, cpu=emulate)
    return partial(check_here, batch, manifest)


def _check(
    batch: Batch, manifest: Manifest, check_one: Callable[[Task], Check], output_format: Format
) -> None:
    rows: list[dict[str, Any]] = []
    for result in batch.results(manifest.tasks):
        if result.status != "ok":
            continue
        task = manifest.task(result.task)
        row = {"model": result.model, "recipe": result.recipe}
        row["made_on"] = result.place.node_class if result.place else ""
        click.echo(printable(f"{result.model} {result.recipe} ..."), err=True)
        try:
            found = check_one(task)
        except CompressError as error:
            row["same"] = f"not checked: {error}"
        else:
            row |= _shown_check(found)
        rows.append(row)
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


def _shown_check(found: Check) -> dict[str, Any]:
    return {
        "checked_on": found.node_class,
        "relative_error": found.relative_error,
        "agreement": found.agreement,
        "same": found.passed,
    }


def _measure(batch: Batch, manifest: Manifest, output_format: Format) -> None:
    from mlcost_hpc.compress.alone import measure_here
    from mlcost_hpc.compress.standing import worth_measuring

    results = {row.task: row for row in batch.results(manifest.tasks)}
    chosen = worth_measuring(list(results.values()))
    rows: list[dict[str, Any]] = []
    for task in manifest.tasks:
        if task.id in chosen:
            rows += _shown_measurement(task, measure_here(batch, manifest, task))
    columns = {
        "model": "model",
        "recipe": "recipe",
        "batch": "batch",
        "before_ms": "ms before",
        "after_ms": "ms after",
        "speedup": "x speed",
        "node_class": "measured on",
    }
    print_rows(rows, columns, output_format, right=["batch", "before_ms", "after_ms", "speedup"])


def _shown_measurement(task: Task, found: Measurement) -> list[dict[str, Any]]:
    return [
        {
            "model": task.model,
            "recipe": task.recipe.name,
            "batch": item.batch,
            "before_ms": round(1000 * item.before.p50, 4),
            "after_ms": round(1000 * item.after.p50, 4),
            "speedup": round(item.speedup, 2),
            "node_class": found.place.node_class,
        }
        for item in found.latency
    ]
