"""Loopback ports for a cluster's daemons.

Each cluster gets a block of consecutive ports. Where the search begins depends on the name alone, so a
cluster usually has the same ports every time; what was chosen is in its record.
"""

from __future__ import annotations

import socket
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Below Linux's ephemeral ports (32768 and up), above what services usually take.
_FIRST, _LAST = 20_000, 32_000
_BLOCK = 40
_RESERVED_FIRST = 2  # slurmctld, slurmdbd


@dataclass(frozen=True)
class Ports:
    """A block of ports beginning at ``base``."""

    base: int

    @property
    def slurmctld(self) -> int:
        """Port of the controller."""
        return self.base

    @property
    def slurmdbd(self) -> int:
        """Port of the accounting daemon."""
        return self.base + 1

    def slurmd(self, index: int) -> int:
        """Port of the node number ``index``, counted from 0."""
        if not 0 <= index < _BLOCK - _RESERVED_FIRST:
            raise ClusterError(f"a cluster has at most {_BLOCK - _RESERVED_FIRST} nodes")
        return self.base + _RESERVED_FIRST + index

    def first(self, nodes: int) -> Iterator[int]:
        """The ports in use by a cluster of that many nodes."""
        return iter(range(self.base, self.base + _RESERVED_FIRST + nodes))


def is_free(port: int) -> bool:
    """Whether nobody listens on the port, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def choose(name: str, nodes: int, taken: Iterable[int], free: Callable[[int], bool] = is_free) -> Ports:
    """The first block, from the name's place on, that no other cluster recorded and whose ports are free.

    Args:
        name: The cluster's name.
        nodes: How many nodes need a port.
        taken: Bases of the other clusters' blocks.
        free: Whether nobody listens on a port.
    """
    bases = range(_FIRST, _LAST, _BLOCK)
    start = zlib.crc32(name.encode()) % len(bases)
    recorded = set(taken)
    for step in range(len(bases)):
        base = bases[(start + step) % len(bases)]
        ports = Ports(base)
        if base not in recorded and all(map(free, ports.first(nodes))):
            return ports
    raise ClusterError(f"no {nodes + _RESERVED_FIRST} free ports in a row between {_FIRST} and {_LAST}")
