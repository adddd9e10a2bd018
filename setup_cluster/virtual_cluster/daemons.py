"""The daemons of a cluster: how each is started and how one knows that it serves."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster import listeners, processes
from virtual_cluster.binding import Binding, take_own_name
from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from virtual_cluster.layout import Layout
    from virtual_cluster.ports import Ports

_SBIN = "/usr/sbin"
_TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """One daemon.

    Attributes:
        name: Also the name of its pid file and log.
        argv: The command that stays in the foreground.
        log: Where it explains itself.
        serves: Whether it answers now; asked again and again until it does.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    serves: Callable[[], bool]
    stale: tuple[Path, ...] = ()


class Supervisor:
    """Starts, watches and ends the daemons of one cluster."""

    def __init__(self, layout: Layout, environment: Mapping[str, str], binding: Binding) -> None:
        self._layout = layout
        self._prepare = take_own_name if binding is Binding.OWN_NAME else None
        self._environment = environment

    def running(self, name: str) -> processes.Identity | None:
        """The daemon's live process."""
        return processes.read_pid_file(self._pid_file(name))

    def start(self, daemon: Daemon) -> bool:
        """Start it unless it runs; gives whether it was started."""
        if self.running(daemon.name):
            return False
        self._end_forgotten(daemon)
        for path in daemon.stale:
            path.unlink(missing_ok=True)
        output = self._output(daemon.name)
        pid = processes.start_detached(daemon.argv, self._environment, output, self._prepare)
        processes.write_pid_file(self._pid_file(daemon.name), pid)
        return True

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
        raise ClusterError(f"{daemon.name} {what}. Last lines of its log:\n{self._tail(daemon)}")

    def end(self, names: Sequence[str], seconds: float) -> None:
        """End these together."""
        found = [identity for identity in map(self.running, names) if identity]
        processes.end(found, seconds)
        for name in names:
            self._pid_file(name).unlink(missing_ok=True)

    def _end_forgotten(self, daemon: Daemon) -> None:
        # A daemon whose pid file was lost still holds its port or its data.
        forgotten = processes.daemons_writing(daemon.log)
        processes.send(forgotten, signal.SIGKILL)
        processes.wait_gone(forgotten, 5)

    def _pid_file(self, name: str) -> Path:
        return self._layout.run / f"{name}.pid"

    def _output(self, name: str) -> Path:
        return self._layout.log / f"{name}.out"

    def _tail(self, daemon: Daemon) -> str:
        lines: list[str] = []
        for path in (daemon.log, self._output(daemon.name)):
            with suppress(OSError):
                found = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
                lines += [f"  {path.name}: {line}" for line in found]
        return "\n".join(lines) or f"  ({daemon.log} is empty)"


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
        log=layout.log / "munged.log",
        stale=stale,
        serves=lambda: listeners.on_path(socket_path),
    )


def mariadb(layout: Layout) -> Daemon:
    """The database under slurmdbd."""
    argv = (f"{_SBIN}/mariadbd", f"--defaults-file={layout.etc}/mariadb.cnf")
    return Daemon(
        name="mariadb",
        argv=argv,
        log=layout.log / "mariadb.log",
        stale=(layout.database_socket,),
        serves=lambda: listeners.on_path(layout.database_socket),
    )


def slurmdbd(layout: Layout, ports: Ports) -> Daemon:
    """Slurm's accounting daemon."""
    return Daemon(
        name="slurmdbd",
        argv=(f"{_SBIN}/slurmdbd", "-D"),
        log=layout.log / "slurmdbd.log",
        serves=lambda: listeners.on_port(ports.slurmdbd),
    )


def slurmctld(layout: Layout, serves: Callable[[], bool]) -> Daemon:
    """Slurm's controller."""
    return Daemon(
        name="slurmctld",
        argv=(f"{_SBIN}/slurmctld", "-D", "-f", str(layout.slurm_conf)),
        log=layout.log / "slurmctld.log",
        serves=serves,
    )


def slurmd(layout: Layout, node: str, port: int) -> Daemon:
    """The daemon of one virtual node."""
    return Daemon(
        name=f"slurmd-{node}",
        argv=(f"{_SBIN}/slurmd", "-D", "-N", node, "-f", str(layout.node_conf)),
        log=layout.log / f"slurmd-{node}.log",
        serves=lambda: listeners.on_port(port),
    )


def answer(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> str | None:
    """What a command prints, or None when it fails or takes too long."""
    try:
        done = subprocess.run(
            argv, env=dict(environment), capture_output=True, text=True, timeout=seconds, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    return done.stdout if done.returncode == 0 else None
