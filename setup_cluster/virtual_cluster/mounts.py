"""What is mounted in a root folder, and the process that holds it. Pure: the text of a shell script."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_KERNEL = ("/proc", "/sys", "/dev")
_FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")


def holder_script(root: Path, shared: Iterable[Path]) -> str:
    """A script that mounts and then waits for ever inside the root folder.

    Args:
        root: The root folder.
        shared: Folders that are to be visible inside at the same path.
    """
    lines = ["set -eu"]
    lines += [f"mount --rbind {path} {shlex.quote(f'{root}{path}')}" for path in _KERNEL]
    lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(f'{root}/run')}")
    for path in _FILES:
        inside = shlex.quote(f"{root}{path}")
        lines.append(
            f"if [ -f {path} ]; then [ -f {inside} ] || : >{inside}; mount --bind {path} {inside}; fi"
        )
    # A folder inside another comes after it.
    for folder in sorted({*map(str, shared)}):
        outside, inside = shlex.quote(folder), shlex.quote(f"{root}{folder}")
        lines.append(f"mkdir -p {inside}; mount --bind {outside} {inside}")
    lines.append(f"exec chroot {shlex.quote(str(root))} /usr/bin/sleep infinity")
    return "\n".join(lines) + "\n"


def holder_argv(root: Path, shared: Iterable[Path]) -> tuple[str, ...]:
    """The command that runs it in a mount namespace of its own."""
    script = holder_script(root, shared)
    return ("/usr/bin/unshare", "--mount", "--propagation=private", "--", "/bin/sh", "-c", script)
