"""System users of the virtual site. They have no password, and sh for their jobs."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from virtual_cluster.site import Site

PREFIX = "mlc-"
_LOWEST_PERSON = 1000
_HIGHEST_PERSON = 60_000


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


def remove(site: Site, home: Path) -> None:
    """Remove those that were made for clusters in this home folder, with their own homes.

    Clusters in another home folder keep the users that were made for them.
    """
    for name in _names(site):
        if _exists(name) and made_for(pwd.getpwnam(name).pw_dir, home):
            _run(["userdel", "--remove", name])


def made_for(folder: str, home: Path) -> bool:
    """Whether a user with that folder was made for clusters in this home folder."""
    return Path(folder).parent == home / "home"


def copy_into(root: Path) -> None:
    """Make the machine's people and the site's users known in a root folder, under the same numbers."""
    for name in ("passwd", "group"):
        inside = root / "etc" / name
        inside.write_text(merged(Path("/etc", name).read_text(), inside.read_text()))


def merged(machine: str, inside: str) -> str:
    """The root folder's passwd or group text with the machine's people in front.

    They come first, for a number found twice means the first: a package's own user inside may have the number
    that the machine gave to a person.
    """
    people = [line for line in machine.splitlines() if _is_person(line)]
    names = {line.partition(":")[0] for line in people}
    rest = [line for line in inside.splitlines() if line.partition(":")[0] not in names]
    root = [line for line in rest if line.startswith("root:")]
    others = [line for line in rest if not line.startswith("root:")]
    return "".join(f"{line}\n" for line in (*root, *people, *others))


def _is_person(line: str) -> bool:
    words = line.split(":")
    return len(words) > 2 and (
        words[0].startswith(PREFIX) or _LOWEST_PERSON <= int(words[2]) < _HIGHEST_PERSON
    )


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
    # 8: one of the user's processes still runs, which is then not this cluster's, and the user stays.
    if done.returncode not in {0, 6, 8, 12}:
        raise ClusterError(f"{argv[0]} failed with {done.returncode}: {done.stderr.strip()}")
