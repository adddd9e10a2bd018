"""The daemons of a cluster: how each is started and how one knows that it serves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster import listeners, mounts, processes
from virtual_cluster.binding import bound
from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from virtual_cluster.binding import Binding
    from virtual_cluster.layout import Layout
    from virtual_cluster.processes import Identity
    from virtual_cluster.system import System

_SBIN = "/usr/sbin"
_TAIL_LINES = 15
_TAIL_WIDTH = 300
ROOT = "root"
"""Name of the daemon that holds a root folder's mounts."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """One daemon.

    Attributes:
        name: Also the name of its pid file and of its logs.
        argv: The command that stays in the foreground.
        serves: Whether it answers now; asked again and again until it does.
        stale: Files that a killed one leaves and the next one stumbles over.
    """

    name: str
    argv: tuple[str, ...]
    serves: Callable[[], bool]
    stale: tuple[Path, ...] = ()


class Supervisor:
    """Starts, watches and ends the daemons of one cluster."""

    def __init__(self, layout: Layout, environment: Mapping[str, str], binding: Binding) -> None:
        self._layout = layout
        self._environment = environment
        self._binding = binding

    def running(self, name: str) -> Identity | None:
        """The daemon's live process.

        Newer Slurm daemons go on in a new process when they are told to reconfigure, and a pid file can be
        lost: then the daemon is found by the file its output goes to.
        """
        file = self._layout.run / f"{name}.pid"
        identity = processes.read_pid_file(file)
        if identity is None:
            identity = processes.find_writer(process_name(name), self._writes(name))
            if identity:
                processes.write_pid_file(file, identity.pid)
        return identity

    def start(self, daemon: Daemon, system: System) -> None:
        """Start it unless it runs."""
        if self.running(daemon.name):
            return
        for path in daemon.stale:
            path.unlink(missing_ok=True)
        argv, output = bound(system.command(daemon.argv), self._binding), self._output(daemon.name)
        pid = processes.start_detached(argv, self._environment, output)
        processes.write_pid_file(self._layout.run / f"{daemon.name}.pid", pid)

    def wait(self, daemon: Daemon, seconds: float) -> None:
        """Wait until it serves.

        Raises:
            ClusterError: It ended, or did not serve in time; with the last lines of its log.
        """

        def settled() -> bool:
            return daemon.serves() or self.running(daemon.name) is None

        if processes.wait_until(settled, seconds) and self.running(daemon.name):
            return
        what = f"does not answer after {seconds:.0f} s" if self.running(daemon.name) else "has ended"
        raise ClusterError(f"{daemon.name} {what}. Last lines of its log:\n{self._tail(daemon.name)}")

    def end(self, names: Sequence[str], seconds: float) -> None:
        """End these together."""
        found = [identity for identity in map(self.running, names) if identity]
        processes.end(found, seconds)
        for name in names:
            (self._layout.run / f"{name}.pid").unlink(missing_ok=True)

    def _output(self, name: str) -> Path:
        return self._layout.log / f"{name}.out"

    def _writes(self, name: str) -> tuple[Path, Path]:
        return self._layout.log / f"{name}.log", self._output(name)

    def _tail(self, name: str) -> str:
        lines: list[str] = []
        for path in self._writes(name):
            with suppress(OSError):
                found = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
                lines += [f"  {path.name}: {line[:_TAIL_WIDTH]}" for line in found]
        return "\n".join(lines) or f"  ({self._layout.log} has nothing of it)"


def process_name(name: str) -> str:
    """The kernel's name for the process of the daemon called ``name``."""
    if name.startswith("slurmd-"):
        return "slurmd"
    return {"mariadb": "mariadbd", ROOT: "sleep"}.get(name, name)


def root_holder(root: Path, shared: Iterable[Path], serves: Callable[[], bool]) -> Daemon:
    """The process that holds the mounts of a root folder."""
    return Daemon(name=ROOT, argv=mounts.holder_argv(root, shared), serves=serves)


def munged(layout: Layout) -> Daemon:
    """Authentication between the daemons and commands of this cluster only."""
    socket_path = layout.munge_socket
    argv = (
        f"{_SBIN}/munged", "--foreground", "--force",
        f"--key-file={layout.munge}/munge.key", f"--socket={socket_path}",
        f"--pid-file={layout.munge}/munged.own",
        f"--seed-file={layout.munge}/munge.seed", f"--log-file={layout.log}/munged.log",
    )  # fmt: skip
    stale = (socket_path, socket_path.with_name(socket_path.name + ".lock"))
    return Daemon(
        name="munged",
        argv=argv,
        stale=stale,
        serves=lambda: listeners.on_path(socket_path),
    )


def mariadb(layout: Layout) -> Daemon:
    """The database under slurmdbd."""
    argv = (f"{_SBIN}/mariadbd", f"--defaults-file={layout.etc}/mariadb.cnf")
    return Daemon(
        name="mariadb",
        argv=argv,
        stale=(layout.database_socket,),
        serves=lambda: listeners.on_path(layout.database_socket),
    )


def slurmdbd(port: int) -> Daemon:
    """Slurm's accounting daemon."""
    return Daemon(
        name="slurmdbd",
        argv=(f"{_SBIN}/slurmdbd", "-D"),
        serves=lambda: listeners.on_port(port),
    )


def slurmctld(layout: Layout, serves: Callable[[], bool]) -> Daemon:
    """Slurm's controller."""
    return Daemon(
        name="slurmctld",
        argv=(f"{_SBIN}/slurmctld", "-D", "-f", str(layout.slurm_conf)),
        serves=serves,
    )


def slurmd(layout: Layout, node: str, port: int) -> Daemon:
    """The daemon of one virtual node."""
    return Daemon(
        name=f"slurmd-{node}",
        argv=(f"{_SBIN}/slurmd", "-D", "-N", node, "-f", str(layout.node_conf)),
        serves=lambda: listeners.on_port(port),
    )
