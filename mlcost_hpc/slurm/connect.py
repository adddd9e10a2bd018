"""Choosing how Slurm is asked: what was asked for, else pyslurm where it works, else the commands."""

from __future__ import annotations

import msgspec

from mlcost_hpc.errors import SlurmAnswerError, UsageError
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
    """Return the way to ask Slurm that fits best.

    pyslurm is tried in a process of its own first, and taken of itself only where it was made for the
    release that the controller runs.

    Args:
        backend: ``cli``, ``pyslurm``, or ``auto`` for pyslurm where it fits and the commands elsewhere.
        timeout_s: seconds after which a command is given up.
        cluster: name for ``--clusters`` on a multi-cluster site; None = the local cluster. Only the
            commands can ask another cluster.

    Raises:
        UsageError: for an unknown backend, or pyslurm together with another cluster.
        SlurmAnswerError: when pyslurm was asked for and does not work here.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown Slurm backend {backend!r}: take {', '.join(BACKENDS)}")
    if backend == "pyslurm":
        return _pyslurm_as_asked(timeout_s, cluster)
    commands = CliSlurm(timeout_s=timeout_s, cluster=cluster)
    if backend == "cli":
        return Connection(slurm=commands, why="the commands, as asked for")
    return _best(commands, timeout_s, cluster)


def _best(commands: CliSlurm, timeout_s: float, cluster: str | None) -> Connection:
    from mlcost_hpc.slurm import pyslurm_backend

    if cluster is not None:
        return Connection(slurm=commands, why=f"the commands: only they can ask cluster {cluster}")
    if not pyslurm_backend.is_installed():
        return Connection(slurm=commands, why="the commands: pyslurm is not installed")
    trial = pyslurm_backend.try_out(timeout_s)
    if trial.pyslurm is None or trial.slurm is None:
        return Connection(slurm=commands, why=f"the commands: pyslurm does not work here ({trial.error})")
    if trial.pyslurm.release != trial.slurm.release:
        why = f"pyslurm {trial.pyslurm.release} is not for Slurm {trial.slurm.release}"
        return Connection(slurm=commands, why=f"the commands: {why}")
    return Connection(
        slurm=pyslurm_backend.PyslurmSlurm(timeout_s=timeout_s), why=f"pyslurm {trial.pyslurm}, which fits"
    )


def _pyslurm_as_asked(timeout_s: float, cluster: str | None) -> Connection:
    from mlcost_hpc.slurm import pyslurm_backend

    if cluster is not None:
        raise UsageError("pyslurm cannot ask another cluster: take the backend cli with slurm.cluster")
    if not pyslurm_backend.is_installed():
        raise SlurmAnswerError(
            "pyslurm was asked for and is not installed (pip install 'mlcost-hpc[pyslurm]')"
        )
    trial = pyslurm_backend.try_out(timeout_s)
    if trial.error:
        raise SlurmAnswerError(f"pyslurm was asked for and does not work here: {trial.error}")
    return Connection(
        slurm=pyslurm_backend.PyslurmSlurm(timeout_s=timeout_s), why=f"pyslurm {trial.pyslurm}, as asked for"
    )
