"""``mlcost gpu``: the models we know, the counters of this node, and what they say about waste."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.output import Format, format_option, print_rows

if TYPE_CHECKING:
    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.gpu.efficiency import GpuUse


@click.group()
def gpu() -> None:
    """Show GPU models, watch this node's GPUs, and find waste."""


@gpu.command()
@format_option
@click.pass_obj
def models(context: Context, output_format: Format) -> None:
    """List the GPU models of the catalogue."""
    rows = [
        {
            "model": model.key,
            "name": model.name,
            "memory_gib": model.memory_gib,
            "training_tflops": model.training_tflops,
            "bandwidth_gbs": model.bandwidth_gbs,
            "watts": model.watts,
        }
        for model in context.catalog.models.values()
    ]
    columns = {
        "model": "model",
        "name": "name",
        "memory_gib": "GiB",
        "training_tflops": "TFLOPS (16 bit)",
        "bandwidth_gbs": "GB/s",
        "watts": "W",
    }
    print_rows(rows, columns, output_format, right=list(columns)[2:])


@gpu.command()
@click.option("--every", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds.")
@click.option("--for", "duration", default=None, help="How long, e.g. 10m; else until it is stopped.")
@click.option("--out", type=click.Path(path_type=Path), help="File to append to; else standard output.")
def watch(every: float, duration: str | None, out: Path | None) -> None:
    """Write one JSON line a GPU and interval; for `mlcost gpu report`.

    In a batch script: `mlcost gpu watch --out gpu.jsonl &` before the training.
    """
    import msgspec

    from mlcost_hpc.gpu.sampler import open_gpus
    from mlcost_hpc.units import parse_time_limit

    limit = parse_time_limit(duration) if duration else None
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    deadline = None if limit is None else time.monotonic() + limit
    with open_gpus() as sample, out.open("ab") if out else sys.stdout.buffer as file:
        while not stop.is_set() and (deadline is None or time.monotonic() < deadline):
            for item in sample(time.time()):
                file.write(msgspec.json.encode(item) + b"\n")
            file.flush()
            stop.wait(every)


@gpu.command()
@click.argument("file", type=click.Path(path_type=Path))
@format_option
@click.pass_obj
def report(context: Context, file: Path, output_format: Format) -> None:
    """Show how well the GPUs in a file of `mlcost gpu watch` were used, and what to change."""
    import msgspec

    from mlcost_hpc.errors import UsageError
    from mlcost_hpc.gpu.efficiency import advice, use_by_gpu
    from mlcost_hpc.gpu.sampler import Sample

    try:
        samples = [msgspec.json.decode(line, type=Sample) for line in file.read_bytes().splitlines()]
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{file} is not a file of `mlcost gpu watch`: {error}") from None
    memory = {model.key: model.memory_gib for model in context.catalog.models.values()}
    rows = [{**_row(use), "advice": "; ".join(advice(use, memory))} for use in use_by_gpu(samples)]
    columns = {
        "gpu": "GPU",
        "name": "model",
        "seconds": "seconds",
        "busy_percent": "busy %",
        "idle_percent": "idle %",
        "peak_memory_gib": "peak GiB",
        "energy_wh": "Wh",
        "advice": "advice",
    }
    print_rows(rows, columns, output_format, right=list(columns)[2:7])


def _row(use: GpuUse) -> dict[str, Any]:
    """Return one GPU's figures, rounded for reading."""
    peak = None if use.peak_memory is None else use.peak_memory / 1024**3
    return {
        "gpu": use.gpu,
        "name": use.name,
        "seconds": round(use.seconds, 1),
        **{
            key: None if value is None else round(value, 1)
            for key, value in (
                ("busy_percent", use.busy_percent),
                ("idle_percent", use.idle_percent),
                ("peak_memory_gib", peak),
                ("energy_wh", use.energy_wh),
            )
        },
    }
