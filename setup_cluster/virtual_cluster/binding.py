"""How the daemons are made to listen on loopback only.

Slurm binds either to every address or to the one the host name resolves to. Where the machine's name resolves
to something else, the daemons run under a host name of their own (a UTS namespace): ``localhost``.
"""

from __future__ import annotations

import ctypes
import os
import socket
from enum import StrEnum

LOOPBACK = "127.0.0.1"
_CLONE_NEWUTS = 0x04000000
_OWN_NAME = b"localhost"


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


def take_own_name() -> None:
    """Give the calling process the host name ``localhost``, without changing the machine's.

    Raises:
        OSError: This process may not make namespaces.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS) or libc.sethostname(_OWN_NAME, len(_OWN_NAME)):
        raise OSError(ctypes.get_errno(), "cannot take a host name of its own")


def _host_name_is_loopback() -> bool:
    try:
        return socket.gethostbyname(socket.gethostname()) == LOOPBACK
    except OSError:
        return False


def _may_take_own_name() -> bool:
    child = os.fork()
    if child == 0:
        try:
            take_own_name()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
