"""Getting into a cluster: commands with its environment, and the product inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError
from virtual_cluster.lifecycle import CHECKOUT, Cluster, locked
from virtual_cluster.product import Product, environment_of, inside_environment
from virtual_cluster.system import PATH, HostSystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Invocation:
    """A command with its whole environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def product(cluster: Cluster) -> Product:
    """The product for the Python inside; on this machine itself, the checkout's own environment."""
    suite = cluster.record().suite
    folder = environment_of(_venvs(cluster), suite, CHECKOUT) if suite else CHECKOUT / ".venv"
    return Product(folder, CHECKOUT)


def install(cluster: Cluster, environment: Mapping[str, str], extras: Iterable[str]) -> None:
    """Install the product for the Python inside, with these extras.

    Raises:
        ClusterError: The cluster is on this machine itself, or the installation failed.
    """
    if cluster.record().suite is None:
        raise ClusterError("this cluster uses the machine's own Python: `make` installs the product there")
    with locked(cluster.home / ".venvs.lock"):
        product(cluster).install(cluster.system(), environment, extras, cluster.say)


def inside(cluster: Cluster, environment: Mapping[str, str], folder: Path, argv: Sequence[str]) -> Invocation:
    """How to run a command inside the cluster from a folder, with the caller's environment.

    Raises:
        ClusterError: The folder does not exist inside.
    """
    system, programs = cluster.system(), product(cluster).programs
    if isinstance(system, HostSystem):
        path = environment.get("PATH", PATH)
        own = {**cluster.environment(), "PATH": f"{programs}:{path}" if programs.is_dir() else path}
        return Invocation(tuple(argv), {**environment, **own})
    if not system.sees(folder):
        raise ClusterError(f"{folder} is not visible inside the cluster; the checkout and /tmp are")
    kept = inside_environment(environment, _venvs(cluster))
    own = {**cluster.environment(), "PATH": f"{programs}:{PATH}"}
    return Invocation(tuple(system.command_in(folder, argv)), {**kept, **own})


def _venvs(cluster: Cluster) -> Path:
    return cluster.home / "venvs"
