"""Which processes belong to a cluster, from /proc; starting them detached and ending them for certain.

A process id alone is not an identity, for ids are used again: a daemon is remembered as id and start time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from virtual_cluster.layout import Layout

PROC = Path("/proc")
_DAEMONS = frozenset({"slurmctld", "slurmscriptd", "slurmd", "slurmstepd", "slurmdbd", "munged", "mariadbd"})
_POLL = 0.05


@dataclass(frozen=True)
class Identity:
    """A process: its id and when it started, in clock ticks since boot."""

    pid: int
    start: int


@dataclass(frozen=True)
class Process:
    """What /proc says about one process."""

    identity: Identity
    parent: int
    name: str
    zombie: bool


def read_process(pid: int) -> Process | None:
    """The process with that id, or None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in brackets and may itself hold brackets and spaces.
    head, _, tail = text.rpartition(")")
    values = tail.split()
    return Process(
        identity=Identity(pid, int(values[19])),
        parent=int(values[1]),
        name=head.partition("(")[2],
        zombie=values[0] in "ZX",
    )


def is_alive(identity: Identity) -> bool:
    """Whether that very process still runs; a zombie does not."""
    process = read_process(identity.pid)
    return process is not None and process.identity == identity and not process.zombie


def write_pid_file(path: Path, pid: int) -> None:
    """Remember a process that was just started."""
    process = read_process(pid)
    start = process.identity.start if process else 0
    path.write_text(f"{pid} {start}\n")


def read_pid_file(path: Path) -> Identity | None:
    """The live process a file remembers; None when it is gone, or another one has its id."""
    try:
        pid, start = path.read_text().split()
        identity = Identity(int(pid), int(start))
    except (FileNotFoundError, ValueError):
        return None
    return identity if is_alive(identity) else None


def all_processes() -> dict[int, Process]:
    """Every live process by id."""
    found = (read_process(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return {p.identity.pid: p for p in found if p is not None and not p.zombie}


def of_cluster(layout: Layout, processes: Mapping[int, Process] | None = None) -> set[Identity]:
    """Every process of the cluster: its daemons, the steps they run, and what the steps' jobs started.

    A daemon is known by its pid file or by a file of the cluster it holds open, a job's process by its
    ancestors or, when it has detached itself, by its environment. A shell that merely uses the
    cluster is neither.
    """
    processes = all_processes() if processes is None else processes
    # A process in another mount namespace shows the path with that namespace's root in front.
    inside = f"{layout.folder}/"

    def is_inside(path: str) -> bool:
        return inside in path

    remembered = {i.pid for i in map(read_pid_file, layout.run.glob("*.pid")) if i is not None}
    roots = {
        pid
        for pid, process in processes.items()
        if pid in remembered
        or (process.name in _DAEMONS and _holds_file(pid, is_inside))
        or _is_job_process(pid, layout.folder)
    }
    return {processes[pid].identity for pid in _with_descendants(roots, processes)}


def job_processes(layout: Layout) -> set[Identity]:
    """The steps' managers and everything they started, without the daemons."""
    processes = all_processes()
    members = of_cluster(layout, processes)
    remembered = set(map(read_pid_file, layout.run.glob("*.pid")))
    daemons = {i for i in members if processes[i.pid].name in _DAEMONS - {"slurmstepd"}}
    return members - daemons - remembered


def find_writer(name: str, outputs: Sequence[Path]) -> Identity | None:
    """The oldest process of that name that has one of these files open."""
    endings = tuple(map(str, outputs))
    found = [
        process.identity
        for pid, process in all_processes().items()
        if process.name == name and _holds_file(pid, lambda path: path.endswith(endings))
    ]
    return min(found, key=lambda identity: identity.start, default=None)


def _with_descendants(roots: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid in processes:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found - {os.getpid()}


def _holds_file(pid: int, wanted: Callable[[str], bool]) -> bool:
    with suppress(OSError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if wanted(str(link.readlink())):
                    return True
    return False


def _is_job_process(pid: int, folder: Path) -> bool:
    # SLURMD_NODENAME is set in tasks and batch scripts only, not in a shell of salloc or `cluster env`.
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    conf = os.fsencode(f"SLURM_CONF={folder}/")
    words = environment.split(b"\0")
    return any(w.startswith(conf) for w in words) and any(w.startswith(b"SLURMD_NODENAME=") for w in words)


def send(identities: Iterable[Identity], number: signal.Signals) -> None:
    """Signal those that still live."""
    for identity in identities:
        if is_alive(identity):
            with suppress(ProcessLookupError):
                os.kill(identity.pid, number)


def wait_gone(identities: Iterable[Identity], seconds: float) -> set[Identity]:
    """Wait until all have ended; gives back those that have not."""
    left = set(identities)
    wait_until(lambda: not _drop_dead(left), seconds)
    return left


def _drop_dead(left: set[Identity]) -> set[Identity]:
    for identity in list(left):
        if not is_alive(identity):
            left.discard(identity)
    return left


def end(identities: Iterable[Identity], seconds: float) -> None:
    """SIGTERM, and SIGKILL for what is still there after that time."""
    wanted = set(identities)
    send(wanted, signal.SIGTERM)
    stubborn = wait_gone(wanted, seconds)
    send(stubborn, signal.SIGKILL)
    wait_gone(stubborn, seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until it is so or the time is over; gives the last answer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def start_detached(argv: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
    """Start a daemon in a session of its own; gives its process id.

    Args:
        argv: The command.
        environment: Its whole environment.
        output: What it prints goes here; its folder is the daemon's working directory.
    """
    with output.open("wb") as stream:
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=output.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    # Nobody waits for it here: it outlives this program, and is_alive() sees through zombies.
    process.returncode = 0
    return process.pid
