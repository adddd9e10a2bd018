"""The ``mlcost`` command: late loading of sub-commands, errors as one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from mlcost_hpc import __version__
from mlcost_hpc.errors import MlcostError, SlurmCommandError

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one line for `mlcost --help`, so that help loads nothing)
    "offers": (
        "mlcost_hpc.cli.offers:offers",
        "List partitions and GPUs with price, speed and what is free.",
    ),
    "submit": ("mlcost_hpc.cli.submit:submit", "Send work to the cheapest place that fits, and say why."),
    "estimate": ("mlcost_hpc.cli.estimate:estimate", "Say what a job would take and cost at every place."),
    "calibrate": ("mlcost_hpc.cli.calibrate:calibrate", "Measure a job's speed on every GPU type."),
    "status": ("mlcost_hpc.cli.status:status", "Show your latest jobs: state, progress, cost so far."),
    "why": ("mlcost_hpc.cli.why:why", "Say why a job went where it went, and what it really took."),
    "attempts": ("mlcost_hpc.cli.attempts:attempts", "Show every run of a job, from which step to which."),
    "doctor": ("mlcost_hpc.cli.doctor:doctor", "Say which Slurm this is, and what will go wrong on it."),
    "gpu": ("mlcost_hpc.cli.gpu:gpu", "Show GPU models, watch this node's GPUs, and find waste."),
    "checkpoints": (
        "mlcost_hpc.cli.checkpoints:checkpoints",
        "See, delete and move the checkpoints of training runs.",
    ),
    "compress": ("mlcost_hpc.cli.compress:compress", "Compress many models at once, with one honest table."),
    "ingest": ("mlcost_hpc.cli.ingest:ingest", "Take accounting rows into the ledger and charge them."),
    "report": ("mlcost_hpc.cli.report:report", "Show what accounts and users spent."),
    "usage": ("mlcost_hpc.cli.report:usage", "Show hours of CPUs, GPUs and nodes, and their cost."),
    "why-charge": ("mlcost_hpc.cli.why_charge:why_charge", "Show how the charge of a job comes about."),
    "problems": ("mlcost_hpc.cli.problems:problems", "Show what could not be charged or read."),
    "ledger": ("mlcost_hpc.cli.ledger:ledger", "Enter money, close months, look into the ledger."),
    "storage": ("mlcost_hpc.cli.storage:storage", "Take in who holds how much storage, and charge it."),
    "efficiency": ("mlcost_hpc.cli.efficiency:efficiency", "Show how much of what jobs held they used."),
    "capacity": ("mlcost_hpc.cli.capacity:capacity", "Show what nodes cost and what became of it."),
    "reservations": ("mlcost_hpc.cli.capacity:reservations", "Show what reservations cost, and whom."),
    "reconcile": ("mlcost_hpc.cli.reconcile:reconcile", "Compare the ledger with Slurm's own sums."),
    "daemon": ("mlcost_hpc.cli.daemon:daemon", "Keep the ledger up to date."),
    "invoice": ("mlcost_hpc.cli.invoice:invoice", "Show what an account is charged for a month."),
    "budget": ("mlcost_hpc.cli.budget:budget", "Set budgets, see where they stand, and enforce them."),
    "rates": ("mlcost_hpc.cli.rates:rates", "Use the rate card in Slurm too: billing weights."),
    "web": ("mlcost_hpc.cli.web:web", "Serve the web pages that group leads read."),
}


class LazyGroup(click.Group):
    """A group that imports a sub-command's module only when that sub-command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the sub-command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of sub-commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
@click.option("-v", "--verbose", is_flag=True, help="On an error, show the failed command and its output.")
@click.version_option(__version__, prog_name="mlcost")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, verbose: bool) -> None:
    """Run machine-learning work on Slurm cheaply, and say exactly what it cost."""
    from mlcost_hpc.cli.context import Context

    ctx.obj = Context(config_file=config, verbose=verbose)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; never returns. Errors are one line on stderr, never a traceback."""
    args = sys.argv[1:] if argv is None else argv
    try:
        code = cli.main(args=args, prog_name="mlcost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("mlcost: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has gone: that is its right, and there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MlcostError as error:
        _show(error, verbose={"-v", "--verbose"} & set(args[: _command_at(args)]) != set())
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _command_at(args: list[str]) -> int:
    """Return where the sub-command stands among the arguments."""
    return next((index for index, word in enumerate(args) if word in COMMANDS), len(args))


def _show(error: MlcostError, **options: Any) -> None:
    """Write an error for a person."""
    click.echo(f"mlcost: {error}", err=True)
    if options["verbose"] and isinstance(error, SlurmCommandError):
        click.echo(error.details(), err=True)


if __name__ == "__main__":
    main()
