"""Where a cluster's programs come from: this machine's packages, or a root folder with another Debian's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from virtual_cluster.processes import Identity

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class System(Protocol):
    """Turns a command of the system into one that this machine can run."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """The same command, run inside; not from a folder of the caller's, which may not exist there."""


class HostSystem:
    """This machine itself."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command as it is."""
        return list(argv)


@dataclass(frozen=True)
class RootSystem:
    """A root folder, entered through the process that holds its mounts.

    The mounts are in a namespace of the cluster's own: they vanish with its last process, whatever ends it,
    and never show on the machine.
    """

    holder: Identity

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command, in the holder's namespace and root; the process id stays the same."""
        return self.command_in(Path("/"), argv)

    def command_in(self, folder: Path, argv: Sequence[str]) -> list[str]:
        """The command, started from a folder inside."""
        # Without a change of folder it would be in one outside its root, which has no name there.
        enter = ("nsenter", f"--target={self.holder.pid}", "--mount", "--root", "--")
        return [*enter, "env", f"--chdir={folder}", *argv]

    def sees(self, folder: Path) -> bool:
        """Whether it exists inside."""
        return Path(f"/proc/{self.holder.pid}/root{folder}").is_dir()
