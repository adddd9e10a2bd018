"""Bringing a cluster up and down, and changing its settings while it runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster import daemons, database, files, processes, record, roots, system_users
from virtual_cluster.binding import Binding, possible
from virtual_cluster.conf import Facts
from virtual_cluster.daemons import ROOT, Daemon, Supervisor
from virtual_cluster.errors import ClusterError, UsageError
from virtual_cluster.layout import Layout, existing, layout_of, make_home
from virtual_cluster.ports import Ports, choose, is_free
from virtual_cluster.record import Record
from virtual_cluster.settings import Preempt, Settings, Switch, needs_restart
from virtual_cluster.slurm_client import NodeState, SlurmClient
from virtual_cluster.slurm_version import SlurmVersion, parse_version
from virtual_cluster.system import PATH, HostSystem, RootSystem

if TYPE_CHECKING:
    from virtual_cluster.site import Site

Say = Callable[[str], None]

CHECKOUT = Path(__file__).resolve().parents[2]
_SERVE_SECONDS = 60
_END_SECONDS = 15
_CANCEL_SECONDS = 5
_READY_STATES = frozenset({"idle", "mixed", "allocated", "completing", "reserved"})


class Cluster:
    """One cluster on this machine; every method may be called again after it failed half way."""

    def __init__(self, layout: Layout, site: Site, say: Say) -> None:
        self.layout = layout
        self._site = site
        self.say = say
        self.home = layout.folder.parent
        self._binding = possible()
        self._supervisor = Supervisor(layout, self._daemon_environment(), self._binding)

    def up(self, wanted: Mapping[str, object], slurm: SlurmVersion | None, hub: str | None) -> None:
        """Bring it up, or complete what is missing.

        Args:
            wanted: Settings that replace those it had.
            slurm: The Slurm version of a new cluster; None for this machine's own.
            hub: The cluster whose accounting a new cluster shares; None for accounting of its own.
        """
        _require_root("up")
        make_home(self.home)
        with self._locked():
            if self._binding is Binding.ANY:
                self.say(
                    "this machine's name is not loopback and no namespace can be made here: "
                    "the daemons listen on every address"
                )
            old = record.read(self.layout)
            new = self._with_ports(self._planned(old, wanted, slurm, hub), old)
            changed = old is not None and old.settings != new.settings
            if changed:
                # Most of what would be left running would have to start again anyway.
                self._end_slurm()
            record.write(self.layout, new)
            files.write(self._facts(new))
            self._start_all(new)
            if changed:
                self._set_qos(new)

    def set(self, wanted: Mapping[str, object]) -> None:
        """Change settings of a running cluster; restarts daemons only where Slurm needs it."""
        _require_root("set")
        with self._locked():
            old = self.record()
            if not self._supervisor.running("slurmctld"):
                raise ClusterError(
                    f"cluster '{self.layout.name}' is not running; `up` takes the same settings"
                )
            new = self._planned(old, wanted, None, None)
            record.write(self.layout, new)
            files.write(self._facts(new))
            if needs_restart(old.settings, new.settings):
                self._end_slurm()
                self._start_all(new)
            else:
                self._reconfigure()
            if new.settings.accounting is Switch.ON:
                # slurmdbd goes on through a restart of the others, and has settings of its own.
                self._client().reconfigure_database()
            self._set_qos(new)
            self.say(f"cluster '{self.layout.name}' has the new settings")

    def down(self) -> None:
        """End every process of the cluster."""
        _require_root("down")
        if not self.layout.folder.is_dir():
            self.say(f"cluster '{self.layout.name}': nothing there")
            return
        with self._locked():
            if self._supervisor.running("slurmctld"):
                self._cancel_jobs()
            self._end_slurm()
            processes.send(processes.job_processes(self.layout), signal.SIGKILL)
            self._supervisor.end(["slurmdbd"], _END_SECONDS)
            self._supervisor.end(["mariadb", "munged"], _END_SECONDS)
            self._end_the_rest()
            # Left-over sockets of dead steps would make a node believe that their jobs still run.
            shutil.rmtree(self.layout.spool, ignore_errors=True)
            self.say(f"cluster '{self.layout.name}' is down")

    def purge(self) -> None:
        """Remove the files of a cluster that is down, and with the last cluster the site's users."""
        _require_root("down --purge")
        if processes.of_cluster(self.layout):
            raise ClusterError(f"cluster '{self.layout.name}' still has processes")
        shutil.rmtree(self.layout.folder, ignore_errors=True)
        if self.home.is_dir() and not existing(self.home):
            system_users.remove(self._site, self.home)
            shutil.rmtree(self.home / "home", ignore_errors=True)
        self.say(f"{self.layout.folder} is removed")

    def record(self) -> Record:
        """What is remembered of it.

        Raises:
            ClusterError: There is no such cluster.
        """
        found = record.read(self.layout)
        if found is None:
            raise ClusterError(f"no cluster '{self.layout.name}'; `up {self.layout.name}` makes it")
        return found

    def system(self) -> HostSystem | RootSystem:
        """Where its programs run.

        Raises:
            ClusterError: It runs in a root folder, and is down or the caller is not root.
        """
        if self.record().suite is None:
            return HostSystem()
        if os.geteuid() != 0:
            raise ClusterError(f"cluster '{self.layout.name}' is in a root folder, which only root can enter")
        holder = self._supervisor.running(ROOT)
        if holder is None:
            raise ClusterError(f"cluster '{self.layout.name}' is down; `up {self.layout.name}` starts it")
        return RootSystem(holder)

    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to talk to this cluster."""
        return {"SLURM_CONF": str(self.layout.slurm_conf), "MLCOST_CLUSTER": self.layout.name}

    def nodes(self) -> list[NodeState]:
        """The nodes' states; empty when slurmctld does not answer."""
        return self._client().nodes() if self._supervisor.running("slurmctld") else []

    def daemon_states(self) -> dict[str, int | None]:
        """Each daemon's process id, None when it does not run."""
        found = {name: self._supervisor.running(name) for name in self._daemon_names()}
        return {name: identity.pid if identity else None for name, identity in found.items()}

    def is_up(self) -> bool:
        """Whether every daemon runs and every node can take jobs."""
        return all(self.daemon_states().values()) and self._nodes_ready()

    def _planned(
        self, old: Record | None, wanted: Mapping[str, object], slurm: SlurmVersion | None, hub: str | None
    ) -> Record:
        """The cluster as it is to be; of a new one the ports are still open."""
        settings = Settings(**{**vars(old.settings if old else Settings()), **wanted})
        if settings.accounting is Switch.OFF and settings.preempt is Preempt.QOS:
            raise UsageError("preempt=qos needs accounting=on: QOS are in slurmdbd")
        name = self.layout.name
        if old is None:
            if hub and record.read(layout_of(self.home, hub)) is None:
                raise ClusterError(f"no cluster '{hub}' to share the accounting of")
            own = _host_version()
            version = slurm or own
            if version is None:
                raise ClusterError("Slurm is not installed; `setup_cluster/install-system` installs it")
            suite = None if version == own else roots.suite_for(version)
            return Record(ports=Ports(0), settings=settings, version=version, suite=suite, hub=hub)
        if slurm and slurm != old.version:
            raise UsageError(f"cluster '{name}' has Slurm {old.version}; `down {name} --purge` it first")
        if hub and hub != old.hub:
            raise UsageError(f"cluster '{name}' exists with other accounting; `down {name} --purge` it first")
        return replace(old, settings=settings)

    def _with_ports(self, new: Record, old: Record | None) -> Record:
        count = len(self._site.node_names())
        if old and (processes.of_cluster(self.layout) or all(map(is_free, old.ports.first(count)))):
            return new
        # One cluster at a time chooses, or two that start together would take the same block.
        with locked(self.home / ".ports.lock"):
            others = [record.read(layout) for layout in existing(self.home) if layout != self.layout]
            ports = choose(self.layout.name, count, [other.ports.base for other in others if other])
            self.layout.folder.mkdir(mode=0o755, exist_ok=True)
            chosen = replace(new, ports=ports)
            record.write(self.layout, chosen)
        return chosen

    def _facts(self, new: Record) -> Facts:
        hub = layout_of(self.home, new.hub) if new.hub else self.layout
        hub_record = record.read(hub) or new
        return Facts(
            site=self._site,
            settings=new.settings,
            layout=self.layout,
            ports=new.ports,
            version=new.version,
            binding=self._binding,
            munge_socket=hub.munge_socket,
            slurmdbd_port=hub_record.ports.slurmdbd,
        )

    def _start_all(self, new: Record) -> None:
        system_users.create(self._site, self.home)
        if new.suite:
            self._enter_root(new)
        if not new.hub:
            self._start_services(new)
        if new.settings.accounting is Switch.ON:
            self._fill_accounting(new.settings)
        self._start_slurm(new)

    def _enter_root(self, new: Record) -> None:
        assert new.suite is not None
        root = roots.root_of(self.home, new.suite)
        with locked(self.home / ".roots.lock"):
            roots.make(root, new.version, self.say)
            system_users.copy_into(root.folder)
        for folder in ("home", "venvs"):
            (self.home / folder).mkdir(mode=0o755, exist_ok=True)
        shared = [self.layout.folder, self.home / "home", self.home / "venvs", CHECKOUT, Path("/tmp")]
        if new.hub:
            shared.append(layout_of(self.home, new.hub).folder)
        holder = daemons.root_holder(root.folder, shared, self._holder_waits)
        self._supervisor.start(holder, HostSystem())
        self._supervisor.wait(holder, _SERVE_SECONDS)

    def _holder_waits(self) -> bool:
        holder = self._supervisor.running(ROOT)
        process = processes.read_process(holder.pid) if holder else None
        return process is not None and process.name == daemons.process_name(ROOT)

    def _start_services(self, new: Record) -> None:
        layout, system, supervisor = self.layout, self.system(), self._supervisor
        munged = daemons.munged(layout)
        supervisor.start(munged, system)
        if new.settings.accounting is Switch.OFF:
            supervisor.wait(munged, _SERVE_SECONDS)
            self.say("munged serves")
            return
        if not database.is_complete(layout):
            self.say("making the database")
            database.make(layout, system, self._daemon_environment())
        mariadb = daemons.mariadb(layout)
        supervisor.start(mariadb, system)
        for daemon in (munged, mariadb):
            supervisor.wait(daemon, _SERVE_SECONDS)
        self.say("munged and mariadb serve")
        slurmdbd = daemons.slurmdbd(new.ports.slurmdbd)
        supervisor.start(slurmdbd, system)
        supervisor.wait(slurmdbd, _SERVE_SECONDS)
        self.say("slurmdbd serves")

    def _fill_accounting(self, settings: Settings) -> None:
        done = self.layout.etc / ".accounts"
        if not done.exists():
            self.say("making accounts, users and QOS")
            self._client().fill_accounting(self._site, settings, self.layout.etc / "accounts.load")
            done.touch()

    def _start_slurm(self, new: Record) -> None:
        supervisor, system = self._supervisor, self.system()
        slurmctld = daemons.slurmctld(self.layout, self._client().controller_answers)
        nodes = self._slurmds(new)
        supervisor.start(slurmctld, system)
        supervisor.wait(slurmctld, _SERVE_SECONDS)
        self.say("slurmctld serves")
        for node in nodes:
            supervisor.start(node, system)
        for node in nodes:
            supervisor.wait(node, _SERVE_SECONDS)
        if not processes.wait_until(self._nodes_ready, _SERVE_SECONDS):
            states = ", ".join(f"{node.name} {node.state}" for node in self.nodes())
            raise ClusterError(
                f"not every node is ready after {_SERVE_SECONDS} s: {states}; see {self.layout.log}"
            )
        self.say(f"{len(nodes)} nodes are ready")

    def _end_slurm(self) -> None:
        self._supervisor.end(["slurmctld"], _END_SECONDS)
        self._supervisor.end(self._slurmd_names(), _END_SECONDS)

    def _slurmds(self, new: Record) -> list[Daemon]:
        names = self._site.node_names()
        return [daemons.slurmd(self.layout, name, new.ports.slurmd(i)) for i, name in enumerate(names)]

    def _slurmd_names(self) -> list[str]:
        return [f"slurmd-{name}" for name in self._site.node_names()]

    def _daemon_names(self) -> list[str]:
        known = self.record()
        with_database = known.settings.accounting is Switch.ON
        return [
            *([ROOT] if known.suite else []),
            *([] if known.hub else ["munged", *(["mariadb", "slurmdbd"] if with_database else [])]),
            "slurmctld",
            *self._slurmd_names(),
        ]

    def _nodes_ready(self) -> bool:
        states = self._client().nodes()
        return len(states) == len(self._site.node_names()) and all(n.state in _READY_STATES for n in states)

    def _reconfigure(self) -> None:
        client = self._client()
        client.reconfigure()
        processes.wait_until(client.controller_answers, _SERVE_SECONDS)

    def _set_qos(self, new: Record) -> None:
        if new.settings.accounting is Switch.ON:
            self._client().set_qos(self._site, new.settings)

    def _cancel_jobs(self) -> None:
        # Cancelled jobs are closed in accounting, and the next `up` begins with an empty queue.
        client = self._client()

        def queue_is_empty() -> bool:
            processes.send(processes.job_processes(self.layout), signal.SIGKILL)
            return client.queue_is_empty()

        if client.controller_answers():
            client.cancel_all()
            processes.wait_until(queue_is_empty, _CANCEL_SECONDS)

    def _end_the_rest(self) -> None:
        left = processes.of_cluster(self.layout)
        processes.send(left, signal.SIGKILL)
        stubborn = processes.wait_gone(left, _END_SECONDS) | processes.of_cluster(self.layout)
        if stubborn:
            raise ClusterError(f"processes that do not end: {sorted(identity.pid for identity in stubborn)}")
        (self.layout.run / f"{ROOT}.pid").unlink(missing_ok=True)

    def _client(self) -> SlurmClient:
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "USER": "root", **self.environment()}
        return SlurmClient(self.system(), environment)

    def _daemon_environment(self) -> dict[str, str]:
        # Nothing of the caller's: a daemon must not behave differently by who brought the cluster up.
        return {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "MYSQL_UNIX_PORT": str(self.layout.database_socket),
            "SLURM_CONF": str(self.layout.slurm_conf),
        }

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.home / f".{self.layout.name}.lock"):
            yield


def _host_version() -> SlurmVersion | None:
    """The Slurm release installed on this machine."""
    try:
        done = subprocess.run(["/usr/sbin/slurmctld", "-V"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return parse_version(done.stdout)


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise ClusterError(
            f"`cluster {command}` runs Slurm's daemons and needs root; ask the administrator, or use `sudo`"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits for whoever holds it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
