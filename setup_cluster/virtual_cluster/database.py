"""A private MariaDB data folder."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from virtual_cluster.layout import Layout
    from virtual_cluster.system import System


def is_complete(layout: Layout) -> bool:
    """Whether the data folder was made to the end."""
    return (layout.database / ".complete").exists()


def make(layout: Layout, system: System, environment: Mapping[str, str]) -> None:
    """Make the data folder, anew where an interrupted run left half of one.

    Raises:
        ClusterError: MariaDB's own installer failed.
    """
    shutil.rmtree(layout.database, ignore_errors=True)
    layout.database.mkdir(mode=0o700)
    argv = [
        "/usr/bin/mariadb-install-db", f"--defaults-file={layout.etc}/mariadb.cnf",
        "--auth-root-authentication-method=socket", "--auth-root-socket-user=root",
        "--skip-test-db", "--skip-name-resolve", "--user=root",
    ]  # fmt: skip
    done = subprocess.run(
        system.command(argv), env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = (done.stdout + done.stderr).strip().splitlines()[-10:]
        raise ClusterError("mariadb-install-db failed:\n  " + "\n  ".join(words))
    (layout.database / ".complete").touch()
