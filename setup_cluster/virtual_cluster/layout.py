"""Where a cluster keeps its files.

Everything of a cluster is in one folder with a short path, for a unix socket's path has at most 107 bytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "mlcost"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_RESERVED = frozenset({"home", "roots", "venvs"})
_LONGEST_HOME = 60


@dataclass(frozen=True)
class Layout:
    """The paths of one cluster."""

    name: str
    folder: Path

    @property
    def record(self) -> Path:
        """What the cluster is: ports, settings, version."""
        return self.folder / "cluster.json"

    @property
    def etc(self) -> Path:
        """Configuration, written anew by every `up` and `set`."""
        return self.folder / "etc"

    @property
    def slurm_conf(self) -> Path:
        """The file SLURM_CONF points at."""
        return self.etc / "slurm.conf"

    @property
    def node_conf(self) -> Path:
        """The nodes' own slurm.conf: it may bind where that of the commands must not."""
        return self.etc / "node" / "slurm.conf"

    @property
    def run(self) -> Path:
        """Process ids of the daemons."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """One log a daemon."""
        return self.folder / "log"

    @property
    def state(self) -> Path:
        """StateSaveLocation of slurmctld."""
        return self.folder / "state"

    @property
    def spool(self) -> Path:
        """One folder a node below it."""
        return self.folder / "spool"

    @property
    def devices(self) -> Path:
        """The fake GPU device files."""
        return self.folder / "dev"

    @property
    def database(self) -> Path:
        """MariaDB's data folder."""
        return self.folder / "db"

    @property
    def database_socket(self) -> Path:
        """Where MariaDB listens; it has no network port."""
        return self.folder / "db.sock"

    @property
    def munge(self) -> Path:
        """Key, seed and pid file of munged; for root only."""
        return self.folder / "munge"

    @property
    def munge_socket(self) -> Path:
        """Where munged listens."""
        return self.folder / "munge.sock"


def home_folder(environment: Mapping[str, str]) -> Path:
    """The folder that holds every cluster: ``$MLCOST_CLUSTER_HOME``, else ``/var/tmp/mlcost``."""
    home = Path(environment.get("MLCOST_CLUSTER_HOME") or "/var/tmp/mlcost")
    if not home.is_absolute() or len(os.fsencode(home)) > _LONGEST_HOME or re.search(r"[\s,#=]", str(home)):
        raise UsageError(
            f"MLCOST_CLUSTER_HOME must be an absolute path of at most {_LONGEST_HOME} bytes "
            f"without spaces, '=', ',' and '#', not '{home}'"
        )
    return home


def layout_of(home: Path, name: str) -> Layout:
    """The paths of the cluster called ``name``."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UsageError(
            f"'{name}' is no name for a cluster: a letter, then letters, digits and '-', all lower case, "
            f"at most 20; {', '.join(sorted(_RESERVED))} are taken"
        )
    return Layout(name, home / name)


def existing(home: Path) -> tuple[Layout, ...]:
    """Every cluster that has a record, running or not."""
    return tuple(Layout(path.parent.name, path.parent) for path in sorted(home.glob("*/cluster.json")))


def make_home(home: Path) -> None:
    """Make the home folder, and refuse one that another user could have prepared.

    Raises:
        ClusterError: The path exists and is not a folder of root's that only root can write.
    """
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = home.lstat()
    if not home.is_dir() or home.is_symlink() or status.st_uid != 0 or status.st_mode & 0o022:
        raise ClusterError(
            f"{home} must be a folder of root's that nobody else can write; move it away first"
        )
