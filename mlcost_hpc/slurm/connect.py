"""Choosing how Slurm is asked: what was asked for, else pyslurm where it works, else the commands."""

from __future__ import annotations

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.slurm.api import Slurm
from mlcost_hpc.slurm.cli_backend import CliSlurm

BACKENDS = ("auto", "cli", "pyslurm")


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster to ask, and why it is asked in this way.

    Attributes:
        slurm: the backend.
        why: one line for a person.
    """

    slurm: Slurm
    why: str


def connect(backend: str = "auto", *, timeout_s: float = 30.0, cluster: str | None = None) -> Connection:
    """Return the way to ask Slurm that fits best; nothing is asked of the controller for it.

    Args:
        backend: ``cli``, ``pyslurm``, or ``auto`` for pyslurm where it can be imported and fits this
            Slurm, and the commands everywhere else.
        timeout_s: seconds after which a command is given up.
        cluster: name for ``--clusters`` on a multi-cluster site; None = the local cluster.

    Raises:
        UsageError: for an unknown backend.
        SlurmError: when a backend was asked for that cannot work here.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown Slurm backend {backend!r}: take {', '.join(BACKENDS)}")
    commands = CliSlurm(timeout_s=timeout_s, cluster=cluster)
    if backend == "cli":
        return Connection(slurm=commands, why="the commands, as asked for")
    return Connection(slurm=commands, why="the commands: pyslurm is not installed")
