"""Bringing a cluster up and down, and changing its settings while it runs."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster import accounting_setup, conf, daemons, database, processes, record, system_users
from virtual_cluster.binding import Binding, possible
from virtual_cluster.daemons import Daemon, Supervisor
from virtual_cluster.errors import ClusterError
from virtual_cluster.layout import Layout, existing, make_home
from virtual_cluster.ports import choose, is_free
from virtual_cluster.record import Record
from virtual_cluster.settings import Settings, needs_restart
from virtual_cluster.slurm_version import SlurmVersion, parse_version

if TYPE_CHECKING:
    from pathlib import Path

    from virtual_cluster.site import Site

Say = Callable[[str], None]

_SERVE_SECONDS = 60
_END_SECONDS = 15
_CANCEL_SECONDS = 5
_READY_STATES = frozenset({"idle", "mixed", "allocated", "completing", "reserved"})


@dataclass(frozen=True)
class NodeState:
    """What Slurm says about a node."""

    name: str
    state: str


class Cluster:
    """One cluster on this machine; every method may be called again after it failed half way."""

    def __init__(self, layout: Layout, site: Site, say: Say) -> None:
        self.layout = layout
        self._site = site
        self._say = say
        self._home = layout.folder.parent
        self._binding = possible()

    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to talk to this cluster."""
        return {"SLURM_CONF": str(self.layout.slurm_conf), "MLCOST_CLUSTER": self.layout.name}

    def up(self, wanted: Mapping[str, object]) -> None:
        """Bring it up, or complete what is missing; ``wanted`` settings replace those it had."""
        _require_root("up")
        make_home(self._home)
        with _locked(self._home / f".{self.layout.name}.lock"):
            if self._binding is Binding.ANY:
                self._say(
                    "this machine's name is not loopback and no namespace can be made here: "
                    "the daemons listen on every address"
                )
            old = record.read(self.layout)
            new = self._recorded(old, wanted)
            supervisor = self._supervisor()
            if old and supervisor.running("slurmctld") and needs_restart(old.settings, new.settings):
                supervisor.end(["slurmctld", *self._slurmd_names()], _END_SECONDS)
            self._write_files(new)
            self._start_all(supervisor, new)
            if old and old.settings != new.settings:
                self._apply_live(new)

    def set(self, wanted: Mapping[str, object]) -> None:
        """Change settings of a running cluster; restarts daemons only where Slurm needs it."""
        _require_root("set")
        with _locked(self._home / f".{self.layout.name}.lock"):
            old = self._existing_record()
            supervisor = self._supervisor()
            if not supervisor.running("slurmctld"):
                raise ClusterError(
                    f"cluster '{self.layout.name}' is not running; `up` takes the same settings"
                )
            new = self._recorded(old, wanted)
            self._write_files(new)
            if needs_restart(old.settings, new.settings):
                supervisor.end(["slurmctld", *self._slurmd_names()], _END_SECONDS)
                self._start_slurm(supervisor, new)
            self._apply_live(new)

    def down(self, *, purge: bool) -> None:
        """End every process of the cluster; with ``purge`` its files go, too."""
        _require_root("down")
        if not self.layout.folder.is_dir():
            self._say(f"cluster '{self.layout.name}': nothing there")
            return
        with _locked(self._home / f".{self.layout.name}.lock"):
            supervisor = self._supervisor()
            if supervisor.running("slurmctld"):
                self._cancel_jobs()
            supervisor.end(["slurmctld"], _END_SECONDS)
            supervisor.end(self._slurmd_names(), _END_SECONDS)
            processes.send(processes.job_processes(self.layout), signal.SIGKILL)
            supervisor.end(["slurmdbd"], _END_SECONDS)
            supervisor.end(["mariadb", "munged"], _END_SECONDS)
            self._end_the_rest()
            self._say(f"cluster '{self.layout.name}' is down")
            if purge:
                self._purge()

    def nodes(self) -> list[NodeState]:
        """The nodes' states; empty when slurmctld does not answer."""
        text = daemons.answer(["sinfo", "-h", "-N", "-o", "%N %T"], self._client_environment(), 10) or ""
        found = dict(line.split() for line in text.splitlines())
        return [NodeState(name, found[name]) for name in sorted(found)]

    def daemon_states(self) -> dict[str, int | None]:
        """Each daemon's process id, None when it does not run."""
        supervisor = self._supervisor()
        names = ["munged", "mariadb", "slurmdbd", "slurmctld", *self._slurmd_names()]
        found = {name: supervisor.running(name) for name in names}
        return {name: identity.pid if identity else None for name, identity in found.items()}

    def is_up(self) -> bool:
        """Whether every daemon runs and every node can take jobs."""
        return all(self.daemon_states().values()) and self._nodes_ready()

    def _existing_record(self) -> Record:
        found = record.read(self.layout)
        if found is None:
            raise ClusterError(f"no cluster '{self.layout.name}'; `up --name {self.layout.name}` makes it")
        return found

    def _recorded(self, old: Record | None, wanted: Mapping[str, object]) -> Record:
        version = host_version()
        settings = Settings(**{**vars(old.settings if old else Settings()), **wanted})
        if old and self._may_keep(old):
            new = Record(old.ports, settings, version)
            record.write(self.layout, new)
            return new
        # One cluster at a time chooses, or two that start together would take the same block.
        with _locked(self._home / ".ports.lock"):
            others = [record.read(layout) for layout in existing(self._home) if layout != self.layout]
            ports = choose(
                self.layout.name, len(self._site.node_names()), [o.ports.base for o in others if o]
            )
            self.layout.folder.mkdir(mode=0o755, exist_ok=True)
            new = Record(ports, settings, version)
            record.write(self.layout, new)
        return new

    def _may_keep(self, old: Record) -> bool:
        """Whether the recorded ports are the cluster's own or free; a stranger may have come while it was down."""
        in_use = old.ports.first(len(self._site.node_names()))
        return bool(processes.of_cluster(self.layout)) or all(map(is_free, in_use))

    def _write_files(self, new: Record) -> None:
        layout, site = self.layout, self._site
        for folder in (
            layout.etc,
            layout.node_conf.parent,
            layout.run,
            layout.log,
            layout.state,
            layout.spool,
            layout.devices,
        ):
            folder.mkdir(mode=0o755, exist_ok=True)
        layout.munge.mkdir(mode=0o700, exist_ok=True)
        for node in site.node_names():
            (layout.spool / node).mkdir(mode=0o755, exist_ok=True)
        for number in site.device_numbers():
            _make_device(layout.devices / f"gpu{number}")
        key = layout.munge / "munge.key"
        if not key.exists():
            _write(key, secrets.token_bytes(128), 0o400)
        for name, text in self._texts(new).items():
            _write(layout.etc / name, text.encode(), 0o600 if name == "slurmdbd.conf" else 0o644)

    def _texts(self, new: Record) -> dict[str, str]:
        layout, site, version, binding = self.layout, self._site, new.version, self._binding

        def slurm_conf(reader: conf.Reader) -> str:
            return conf.slurm_conf(site, new.settings, layout, new.ports, version, binding, reader)

        return {
            "slurm.conf": slurm_conf(conf.Reader.OTHERS),
            "node/slurm.conf": slurm_conf(conf.Reader.NODE),
            "gres.conf": conf.gres_conf(site, layout),
            "node/gres.conf": conf.gres_conf(site, layout),
            "cgroup.conf": conf.cgroup_conf(version),
            "node/cgroup.conf": conf.cgroup_conf(version),
            "slurmdbd.conf": conf.slurmdbd_conf(layout, new.ports, binding),
            "mariadb.cnf": conf.mariadb_conf(layout),
        }

    def _start_all(self, supervisor: Supervisor, new: Record) -> None:
        layout = self.layout
        munged, mariadb = daemons.munged(layout), daemons.mariadb(layout)
        supervisor.start(munged)
        system_users.create(self._site, self._home)
        if not (layout.database / ".complete").exists():
            self._say("making the database")
            database.initialise(layout, self._daemon_environment())
        supervisor.start(mariadb)
        for daemon in (munged, mariadb):
            supervisor.wait(daemon, _SERVE_SECONDS)
        self._say("munged and mariadb serve")
        slurmdbd = daemons.slurmdbd(layout, new.ports)
        supervisor.start(slurmdbd)
        supervisor.wait(slurmdbd, _SERVE_SECONDS)
        self._say("slurmdbd serves")
        self._fill_accounting(new.settings)
        self._start_slurm(supervisor, new)

    def _start_slurm(self, supervisor: Supervisor, new: Record) -> None:
        slurmctld = daemons.slurmctld(self.layout, self._controller_answers)
        nodes = self._slurmds(new)
        supervisor.start(slurmctld)
        supervisor.wait(slurmctld, _SERVE_SECONDS)
        self._say("slurmctld serves")
        for node in nodes:
            supervisor.start(node)
        for node in nodes:
            supervisor.wait(node, _SERVE_SECONDS)
        if not processes.wait_until(self._nodes_ready, _SERVE_SECONDS):
            states = ", ".join(f"{node.name} {node.state}" for node in self.nodes())
            raise ClusterError(
                f"not every node is ready after {_SERVE_SECONDS} s: {states}; see {self.layout.log}"
            )
        self._say(f"{len(nodes)} nodes are ready")

    def _slurmds(self, new: Record) -> list[Daemon]:
        names = self._site.node_names()
        return [daemons.slurmd(self.layout, name, new.ports.slurmd(i)) for i, name in enumerate(names)]

    def _slurmd_names(self) -> list[str]:
        return [f"slurmd-{name}" for name in self._site.node_names()]

    def _controller_answers(self) -> bool:
        text = daemons.answer(["scontrol", "ping"], self._client_environment(), 5)
        return text is not None and " is UP" in text

    def _nodes_ready(self) -> bool:
        states = self.nodes()
        return len(states) == len(self._site.node_names()) and all(n.state in _READY_STATES for n in states)

    def _fill_accounting(self, settings: Settings) -> None:
        done = self.layout.state / ".accounts"
        if done.exists():
            return
        self._say("making accounts, users and QOS")
        file = self.layout.etc / "accounts.load"
        file.write_text(accounting_setup.load_file(self._site, self.layout.name))
        self._run(
            ["sacctmgr", "--immediate", *accounting_setup.add_qos(self._site)], harmless="Nothing new added"
        )
        self._run(["sacctmgr", "--immediate", "load", str(file)])
        self._set_qos(settings)
        done.touch()

    def _apply_live(self, new: Record) -> None:
        self._set_qos(new.settings)
        self._run(["scontrol", "reconfigure"])
        self._say(f"cluster '{self.layout.name}' has the new settings")

    def _set_qos(self, settings: Settings) -> None:
        calls = accounting_setup.set_qos(self._site, settings)
        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            list(pool.map(lambda call: self._run(["sacctmgr", "--immediate", *call]), calls))

    def _run(self, argv: Sequence[str], harmless: str | None = None) -> None:
        try:
            done = subprocess.run(
                argv, env=self._client_environment(), capture_output=True, text=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"`{' '.join(argv)}` does not end after {error.timeout:.0f} s") from error
        output = (done.stdout + done.stderr).strip()
        if done.returncode != 0 and not (harmless and harmless in output):
            raise ClusterError(f"`{' '.join(argv)}` failed with {done.returncode}: {output}")

    def _cancel_jobs(self) -> None:
        # Cancelled jobs are closed in accounting, and the next `up` begins with an empty queue.
        environment = self._client_environment()

        def queue_is_empty() -> bool:
            processes.send(processes.job_processes(self.layout), signal.SIGKILL)
            return daemons.answer(["squeue", "-h"], environment, _CANCEL_SECONDS) == ""

        if self._controller_answers():
            for state in ("PENDING", "SUSPENDED", "RUNNING"):
                daemons.answer(["scancel", f"--state={state}"], environment, _CANCEL_SECONDS)
            processes.wait_until(queue_is_empty, _CANCEL_SECONDS)

    def _end_the_rest(self) -> None:
        left = processes.of_cluster(self.layout)
        processes.send(left, signal.SIGKILL)
        stubborn = processes.wait_gone(left, _END_SECONDS) | processes.of_cluster(self.layout)
        if stubborn:
            raise ClusterError(f"processes that do not end: {sorted(identity.pid for identity in stubborn)}")

    def _purge(self) -> None:
        shutil.rmtree(self.layout.folder)
        if not existing(self._home):
            system_users.remove(self._site)
            shutil.rmtree(self._home / "home", ignore_errors=True)
        self._say(f"{self.layout.folder} is removed")

    def _supervisor(self) -> Supervisor:
        return Supervisor(self.layout, self._daemon_environment(), self._binding)

    def _daemon_environment(self) -> dict[str, str]:
        # Nothing of the caller's: a daemon must not behave differently by who brought the cluster up.
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "MYSQL_UNIX_PORT": str(self.layout.database_socket),
            "SLURM_CONF": str(self.layout.slurm_conf),
        }

    def _client_environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "USER": "root",
            **self.environment(),
        }


def host_version() -> SlurmVersion:
    """The Slurm release installed on this machine.

    Raises:
        ClusterError: None is installed.
    """
    text = daemons.answer(["/usr/sbin/slurmctld", "-V"], {}, 10)
    if text is None:
        raise ClusterError("Slurm is not installed; `setup_cluster/install-system` installs what is needed")
    return parse_version(text)


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise ClusterError(
            f"`cluster {command}` runs Slurm's daemons and needs root; ask the administrator, or use `sudo`"
        )


def _make_device(path: Path) -> None:
    if not path.exists():
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    temporary.chmod(mode)
    temporary.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
