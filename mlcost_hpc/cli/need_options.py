"""The options with which a user says what a job needs; shared by the commands that choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.need import Need

_F = TypeVar("_F", bound=Callable[..., Any])


def _read_need_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    """Make a TOML file's values the defaults of the command's options of the same name."""
    from mlcost_hpc.errors import ConfigError
    from mlcost_hpc.tomlfile import convert_toml

    if path is None:
        return
    known = {
        name.removeprefix("--"): param
        for param in ctx.command.params
        for name in param.opts
        if name.startswith("--") and param.name is not None
    }
    defaults: dict[str, Any] = {}
    for key, value in convert_toml(path, dict[str, Any]).items():
        param = known.get(key)
        if param is None or param.name is None:
            raise ConfigError(f"{path}: {key}: there is no option --{key}")
        defaults[param.name] = value if isinstance(value, (bool, list)) else str(value)
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


_OPTIONS = (
    click.option(
        "--need",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read_need_file,
        help="TOML file with values for these options; those given here win.",
    ),
    click.option("--gpus", metavar="N|N-M", default="0", help="GPUs in all, or a range, by doubling."),
    click.option("--gpu-memory", metavar="SIZE", help="Memory every GPU must have, e.g. 40 or 40G (GiB)."),
    click.option(
        "--model",
        metavar="K=V,...",
        help="Estimate the GPU memory: parameters=7e9,mode=training|lora|inference,batch=4,sequence=2048,...",
    ),
    click.option("--gpu-type", "gpu_types", multiple=True, help="Acceptable GPU; can be repeated."),
    click.option("--partition", "partitions", multiple=True, help="Acceptable partition; can be repeated."),
    click.option(
        "--time", "time", help="Time limit of one run: 90m, 12h, HH:MM:SS; else from the work, or 1h."
    ),
    click.option(
        "--preemptible/--no-preemptible",
        default=True,
        show_default=True,
        help="Whether the job may go where it can be preempted.",
    ),
    click.option("--nodes", type=click.IntRange(min=1), help="Nodes; else as few as the GPUs need."),
    click.option("--cpus", type=click.IntRange(min=1), help="CPUs per GPU, or of a job without GPUs."),
    click.option("--mem", metavar="SIZE", help="Main memory per node, e.g. 64G."),
    click.option(
        "--work", help="What there is to do: 20000steps, 5e6samples@256 (a step), 10h@v100, 1e21flop."
    ),
    click.option("--deadline", help="When it must be done: 2d from now, or 2026-12-24T18:00."),
    click.option("--budget", metavar="MONEY", help="Most it may be expected to cost."),
    click.option("--hour-value", metavar="MONEY", help="What an hour less of waiting is worth to you."),
    click.option("--scaling", type=click.FloatRange(0.5, 1.0), default=0.9, help="Yield of doubling GPUs."),
    click.option("--account", help="Account to charge; else your default one."),
    click.option("--qos", help="Quality of service to ask for."),
)


def need_options(command: _F) -> _F:
    """Add the options to a command; it gets them as keyword arguments for :func:`need_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rates_option(command: _F) -> _F:
    """Add ``--rates FILE`` to a command."""
    option = click.option("--rates", type=click.Path(path_type=Path), help="Rate card (TOML).")
    return option(command)


def need_from(options: dict[str, Any], catalog: Catalog, now: datetime, zone: ZoneInfo) -> Need:
    """Return the need that the options of :func:`need_options` say.

    Args:
        options: the options.
        catalog: the GPU models, for ``--work 10h@v100``.
        now: the present.
        zone: time zone of a deadline that names none.

    Raises:
        UsageError: when one of them cannot be read.
    """
    from mlcost_hpc.cli.need_values import parse_deadline, parse_gpus, parse_model, parse_money
    from mlcost_hpc.errors import UsageError
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.work import parse_work
    from mlcost_hpc.units import parse_memory, parse_time_limit

    time_s = parse_time_limit(options["time"]) if options["time"] else None
    if options["time"] and not time_s:
        raise UsageError(f"--time {options['time']}: a job needs a time limit; a close one starts sooner")
    gpus, gpus_max = parse_gpus(options["gpus"])
    gpu_memory, mem = options["gpu_memory"], options["mem"]
    return Need(
        gpus=gpus,
        gpus_max=gpus_max,
        scaling=options["scaling"],
        gpu_memory=parse_memory(gpu_memory, default_letter="G") if gpu_memory else 0,
        model=parse_model(options["model"]) if options["model"] else None,
        cpus=options["cpus"],
        memory=parse_memory(mem) if mem else None,
        time_s=time_s,
        work=parse_work(options["work"], catalog) if options["work"] else None,
        deadline_s=parse_deadline(options["deadline"], now, zone) if options["deadline"] else None,
        budget=parse_money("--budget", options["budget"]) if options["budget"] else None,
        hour_value=parse_money("--hour-value", options["hour_value"] or "0"),
        nodes=options["nodes"],
        preemptible=options["preemptible"],
        gpu_types=options["gpu_types"],
        partitions=options["partitions"],
        account=options["account"],
        qos=options["qos"],
    )
