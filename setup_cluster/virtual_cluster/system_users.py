"""System users of the virtual site. They have no password, and sh for their jobs."""

from __future__ import annotations

import pwd
import subprocess
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from virtual_cluster.site import Site

PREFIX = "mlc-"


def create(site: Site, home: Path) -> None:
    """Make the site's users where they do not exist.

    Raises:
        ClusterError: useradd failed.
    """
    for name in _names(site):
        if not _exists(name):
            argv = [
                "useradd", "--system", "--create-home", "--home-dir", str(home / "home" / name),
                "--shell", "/bin/sh", "--comment", "virtual Slurm site", name,
            ]  # fmt: skip
            (home / "home").mkdir(mode=0o755, exist_ok=True)
            _run(argv)


def remove(site: Site) -> None:
    """Remove them with their home folders."""
    for name in _names(site):
        if _exists(name):
            _run(["userdel", "--remove", name])


def _names(site: Site) -> list[str]:
    # The prefix is checked again here: this program must never touch anybody's own account.
    return [user.name for user in site.users if user.created and user.name.startswith(PREFIX)]


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # 12: the home folder could not be removed; 6: no such mail spool. The user is gone in both cases.
    if done.returncode not in {0, 6, 12}:
        raise ClusterError(f"{argv[0]} failed with {done.returncode}: {done.stderr.strip()}")
