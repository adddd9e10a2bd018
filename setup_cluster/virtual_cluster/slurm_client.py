"""Slurm's own commands, as root, for one cluster."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster import accounting_setup
from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from virtual_cluster.settings import Settings
    from virtual_cluster.site import Site
    from virtual_cluster.system import System

_ANSWER_SECONDS = 10
_CHANGE_SECONDS = 60


@dataclass(frozen=True)
class NodeState:
    """What Slurm says about a node."""

    name: str
    state: str


@dataclass(frozen=True)
class SlurmClient:
    """Asks and tells a running cluster."""

    system: System
    environment: Mapping[str, str]

    def controller_answers(self) -> bool:
        """Whether slurmctld answers a ping."""
        return " is UP" in (self._answer("scontrol", "ping") or "")

    def nodes(self) -> list[NodeState]:
        """The nodes' states, by name; empty when slurmctld does not answer."""
        text = self._answer("sinfo", "--noheader", "--Node", "--format=%N %T") or ""
        found = dict(line.split() for line in text.splitlines())
        return [NodeState(name, found[name]) for name in sorted(found)]

    def queue_is_empty(self) -> bool:
        """Whether no job waits, runs or completes; False when nobody answers."""
        return self._answer("squeue", "--noheader") == ""

    def cancel_all(self) -> None:
        """Cancel every job."""
        for state in ("PENDING", "SUSPENDED", "RUNNING"):
            self._answer("scancel", f"--state={state}")

    def reconfigure(self) -> None:
        """Have the daemons read their configuration again."""
        self._tell(["scontrol", "reconfigure"])

    def reconfigure_database(self) -> None:
        """Make slurmdbd read its file again."""
        self._tell(["sacctmgr", "--immediate", "reconfigure"])

    def fill_accounting(self, site: Site, settings: Settings, load_file: Path) -> None:
        """Make cluster, QOS, accounts and users from a file for `sacctmgr load`."""
        self._tell(["sacctmgr", "--immediate", *accounting_setup.add_qos(site)], harmless="Nothing new added")
        self._tell(["sacctmgr", "--immediate", "load", str(load_file)])
        self.set_qos(site, settings)

    def set_qos(self, site: Site, settings: Settings) -> None:
        """Give the QOS their properties."""
        calls = accounting_setup.set_qos(site, settings)
        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            list(pool.map(lambda call: self._tell(["sacctmgr", "--immediate", *call]), calls))

    def _answer(self, *argv: str) -> str | None:
        try:
            done = self._run(argv, _ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout if done.returncode == 0 else None

    def _tell(self, argv: Sequence[str], harmless: str | None = None) -> None:
        try:
            done = self._run(argv, _CHANGE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"`{' '.join(argv)}` does not end after {error.timeout:.0f} s") from error
        output = (done.stdout + done.stderr).strip()
        if done.returncode != 0 and not (harmless and harmless in output):
            raise ClusterError(f"`{' '.join(argv)}` failed with {done.returncode}: {output}")

    def _run(self, argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.system.command(argv),
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
