"""How the daemons are made to listen on loopback only.

Slurm binds either to every address or to the one the host name resolves to. Where the machine's name resolves
to something else, the daemons run under a host name of their own (a UTS namespace): ``localhost``.
"""

from __future__ import annotations

import socket
import subprocess
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
_UNDER_OWN_NAME = (
    "/usr/bin/unshare",
    "--uts",
    "--",
    "/bin/sh",
    "-c",
    'hostname localhost && exec "$@"',
    "sh",
)


class Binding(StrEnum):
    """What is possible on this machine."""

    HOST_NAME = "host name"
    """The machine's own name resolves to loopback; daemons and commands bind to it."""
    OWN_NAME = "own name"
    """Daemons get their own host name; `srun` listens on every address for as long as it runs."""
    ANY = "any"
    """Neither, as in a container that may not make namespaces: everything listens on every address."""


def possible() -> Binding:
    """The strictest binding this machine allows."""
    if _host_name_is_loopback():
        return Binding.HOST_NAME
    return Binding.OWN_NAME if _may_take_own_name() else Binding.ANY


def bound(argv: Sequence[str], binding: Binding) -> list[str]:
    """The command, run so that it binds as it should; it keeps its process id."""
    return [*_UNDER_OWN_NAME, *argv] if binding is Binding.OWN_NAME else list(argv)


def _host_name_is_loopback() -> bool:
    try:
        return socket.gethostbyname(socket.gethostname()) == LOOPBACK
    except OSError:
        return False


def _may_take_own_name() -> bool:
    argv = bound(["true"], Binding.OWN_NAME)
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
