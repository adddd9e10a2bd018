"""The options with which a user says what a job needs; shared by the commands that choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mlcost_hpc.launch.need import Need

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs in all."),
    click.option("--gpu-memory", metavar="SIZE", help="Memory every GPU must have, e.g. 40 or 40G (GiB)."),
    click.option("--gpu-type", "gpu_types", multiple=True, help="Acceptable GPU; can be repeated."),
    click.option("--partition", "partitions", multiple=True, help="Acceptable partition; can be repeated."),
    click.option(
        "--time", "time", default="1h", show_default=True, help="Time limit of one run: 90m, 12h, HH:MM:SS."
    ),
    click.option(
        "--preemptible/--no-preemptible",
        default=True,
        show_default=True,
        help="Whether preemptible partitions may be used.",
    ),
    click.option("--nodes", type=click.IntRange(min=1), help="Nodes; else as few as the GPUs need."),
    click.option("--cpus", type=click.IntRange(min=1), help="CPUs per GPU, or of a job without GPUs."),
    click.option("--mem", metavar="SIZE", help="Main memory per node, e.g. 64G."),
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


def need_from(options: dict[str, Any]) -> Need:
    """Return the need that the options of :func:`need_options` say.

    Raises:
        UsageError: when a size or time cannot be read, or there is no time limit.
    """
    from mlcost_hpc.errors import UsageError
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.units import parse_memory, parse_time_limit

    time_s = parse_time_limit(options["time"])
    if not time_s:
        raise UsageError(f"--time {options['time']}: a job needs a time limit; a close one starts sooner")
    gpu_memory, mem = options["gpu_memory"], options["mem"]
    return Need(
        gpus=options["gpus"],
        gpu_memory=parse_memory(gpu_memory, default_letter="G") if gpu_memory else 0,
        cpus=options["cpus"],
        memory=parse_memory(mem) if mem else None,
        time_s=time_s,
        nodes=options["nodes"],
        preemptible=options["preemptible"],
        gpu_types=options["gpu_types"],
        partitions=options["partitions"],
        account=options["account"],
        qos=options["qos"],
    )
