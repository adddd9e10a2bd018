"""The ``cluster`` command."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster import record, settings
from virtual_cluster.entry import inside, install, product
from virtual_cluster.errors import ClusterError, UsageError
from virtual_cluster.layout import DEFAULT_NAME, Layout, existing, home_folder, layout_of
from virtual_cluster.lifecycle import Cluster
from virtual_cluster.processes import of_cluster
from virtual_cluster.roots import SUITES, existing_roots, remove, root_of
from virtual_cluster.site import ML_SITE
from virtual_cluster.slurm_version import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PRODUCT = "mlcost"
_EPILOG = """\
NAME can be given as --name NAME or as the first word; default: mlcost.
Everything of a cluster is in $MLCOST_CLUSTER_HOME/NAME (default /var/tmp/mlcost/NAME).
Exit codes: 0 done, 1 failed or not running, 2 wrong usage; exec gives the command's own.

  cluster up --name trial --grace 30 --user-signal on
  cluster exec trial -- sbatch --partition spot job.sh
  eval "$(cluster env trial)"; sinfo
  cluster set trial grace=0 preempt-mode=cancel
  cluster up new --slurm 24.11; cluster exec new -- mlcost offers
  cluster down trial --purge
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    # Python ignores SIGPIPE, and what `exec` runs would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    words = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    arguments = _parser().parse_args(words)
    try:
        return _dispatch(arguments, command)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cluster: interrupted; `up` completes, `down` cleans up", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster",
        description="A real Slurm of eight virtual nodes on this machine, for trials and tests.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = _command(commands, "up", "start it, or complete what is missing")
    versions = ", ".join(map(str, SUITES))
    up.add_argument("--slurm", metavar="VERSION", help=f"{versions} (default: this machine's own)")
    up.add_argument(
        "--join", metavar="NAME", help="share that cluster's slurmdbd, as `-M` across clusters needs"
    )
    for key, text in settings.HELP.items():
        up.add_argument(f"--{settings.option_name(key)}", dest=key, metavar="VALUE", help=text)
    _command(commands, "status", "say what runs; exit code 1 unless all does")
    down = _command(commands, "down", "end every process of it")
    down.add_argument(
        "--purge", action="store_true", help="remove its files; with the last cluster, its users"
    )
    _command(commands, "env", "print the export lines for a shell's eval")
    _command(commands, "exec", "run a command with its environment: exec [NAME] -- COMMAND...")
    of_install = _command(
        commands, "install", "install the product for the Python of a cluster in a root folder"
    )
    of_install.add_argument(
        "--extra", action="append", default=[], help="an extra of pyproject.toml; can be repeated"
    )
    _command(commands, "set", "change settings while it runs: set [NAME] grace=0 user-signal=on ...")
    commands.add_parser("list", help="every cluster of this machine")
    of_roots = commands.add_parser("roots", help="root folders of other Debian releases")
    of_roots.add_argument("action", choices=["list", "remove"])
    of_roots.add_argument("suite", nargs="?", metavar="SUITE", help="Debian release to remove")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--name", dest="option_name", metavar="NAME", help=f"default: {DEFAULT_NAME}")
    parser.add_argument("words", nargs="*", metavar="WORD", help=argparse.SUPPRESS)
    return parser


def _dispatch(arguments: argparse.Namespace, command: list[str]) -> int:
    home = home_folder(os.environ)
    if command and arguments.command != "exec":
        raise UsageError(f"unexpected '{command[0]}'")
    if arguments.command == "list":
        return _list(home)
    if arguments.command == "roots":
        return _roots(home, arguments.action, arguments.suite)
    name, assignments = _split(arguments.words, arguments.option_name)
    if assignments and arguments.command != "set":
        raise UsageError(f"unexpected '{assignments[0]}'")
    cluster = Cluster(layout_of(home, name), ML_SITE, _Progress())
    run: dict[str, Callable[[], int]] = {
        "up": lambda: _up(cluster, arguments),
        "set": lambda: _set(cluster, assignments),
        "down": lambda: _down(cluster, arguments),
        "status": lambda: _status(cluster),
        "install": lambda: _install(cluster, arguments),
        "env": lambda: _env(cluster),
        "exec": lambda: _exec(cluster, command),
    }
    return run[arguments.command]()


def _up(cluster: Cluster, arguments: argparse.Namespace) -> int:
    given = {key: getattr(arguments, key) for key in settings.HELP}
    wanted = {k: settings.parse_value(k, v) for k, v in given.items() if v is not None}
    slurm = parse_version(arguments.slurm) if arguments.slurm else None
    cluster.up(wanted, slurm, arguments.join)
    name, program = cluster.layout.name, shlex.quote(sys.argv[0])
    way = f"{program} exec {name} -- sinfo" if cluster.record().suite else f'eval "$({program} env {name})"'
    print(f"cluster '{name}' is up: {way}")
    return 0


def _set(cluster: Cluster, assignments: list[str]) -> int:
    if not assignments:
        known = ", ".join(map(settings.option_name, settings.HELP))
        raise UsageError(f"set needs NAME=VALUE (known: {known})")
    cluster.set(dict(map(settings.parse_assignment, assignments)))
    return 0


def _down(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.down()
    if arguments.purge:
        cluster.purge()
    return 0


def _install(cluster: Cluster, arguments: argparse.Namespace) -> int:
    install(cluster, os.environ, arguments.extra)
    return 0


def _env(cluster: Cluster) -> int:
    if cluster.record().suite:
        name = cluster.layout.name
        raise ClusterError(
            f"cluster '{name}' has its commands in a root folder; use `exec {name} -- COMMAND...`"
        )
    for key, value in cluster.environment().items():
        print(f"export {key}={shlex.quote(value)}")
    return 0


def _split(words: list[str], option_name: str | None) -> tuple[str, list[str]]:
    rest = list(words)
    positional = rest.pop(0) if rest and "=" not in rest[0] else None
    if positional and option_name and positional != option_name:
        raise UsageError(f"two names: '{positional}' and '{option_name}'")
    return positional or option_name or DEFAULT_NAME, rest


def _exec(cluster: Cluster, command: list[str]) -> int:
    if not command:
        raise UsageError("exec needs a command after '--'")
    if command[0] == _PRODUCT and cluster.record().suite and product(cluster).installed_extras() is None:
        install(cluster, os.environ, ())
    call = inside(cluster, os.environ, Path.cwd(), command)
    sys.stdout.flush()
    try:
        os.execvpe(call.argv[0], call.argv, dict(call.environment))
    except OSError as error:
        print(f"cluster: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


def _status(cluster: Cluster) -> int:
    found = record.read(cluster.layout)
    if found is None:
        print(f"cluster '{cluster.layout.name}': not there")
        return 1
    shown = " ".join(f"{settings.option_name(k)}={v}" for k, v in settings.to_json(found.settings).items())
    where = f" of Debian {found.suite}" if found.suite else ""
    print(f"cluster '{cluster.layout.name}' Slurm {found.version}{where} in {cluster.layout.folder}")
    print(f"settings: {shown}")
    for name, pid in cluster.daemon_states().items():
        print(f"  {name:<16} {f'runs, pid {pid}' if pid else 'does not run'}")
    for node in cluster.nodes():
        print(f"  node {node.name:<11} {node.state}")
    return 0 if cluster.is_up() else 1


def _list(home: Path) -> int:
    for layout in existing(home):
        found = record.read(layout)
        states = Cluster(layout, ML_SITE, _Progress()).daemon_states()
        running = sum(1 for pid in states.values() if pid)
        if found:
            print(
                f"{layout.name:<20} Slurm {found.version}  {running}/{len(states)} daemons run  "
                f"port {found.ports.base}  {layout.folder}"
            )
    return 0


def _roots(home: Path, action: str, suite: str | None) -> int:
    found = existing_roots(home)
    if action == "list":
        for root in found:
            print(f"{root.suite:<10} Slurm {root.version}  {root.folder}")
        return 0
    if suite not in {root.suite for root in found}:
        raise UsageError(
            f"there is no root folder '{suite}' (there are: {', '.join(r.suite for r in found) or 'none'})"
        )
    users = [layout.name for layout in existing(home) if _runs_in(layout, suite)]
    if users:
        raise ClusterError(f"clusters run in it: {', '.join(users)}; take them down first")
    remove(root_of(home, suite), home)
    print(f"{root_of(home, suite).folder} is removed")
    return 0


def _runs_in(layout: Layout, suite: str) -> bool:
    found = record.read(layout)
    return found is not None and found.suite == suite and bool(of_cluster(layout))


class _Progress:
    """Prints what happens with the seconds since the beginning."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begin:5.1f} s] {text}", flush=True)
