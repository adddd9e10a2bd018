"""What the virtual site looks like: nodes, partitions, accounts, users and QOS, as plain values.

Units: memory in MiB (as Slurm's RealMemory), times in Slurm's ``D-HH:MM:SS`` text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"^(?P<stem>[a-z0-9-]+-)\[(?P<first>\d+)-(?P<last>\d+)\]$")


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """GPUs of one type on a node: ``count`` devices, numbered from ``first`` on that node."""

    type: str
    count: int
    first: int = 0


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Equal nodes; ``name`` is one host name or a range like ``a100-[1-2]``."""

    name: str
    cpus: int
    memory: int
    gpus: tuple[Gpus, ...] = ()
    weight: int = 1

    def members(self) -> tuple[str, ...]:
        """The host names of the group, in order."""
        match = _RANGE.match(self.name)
        if match is None:
            return (self.name,)
        numbers = range(int(match["first"]), int(match["last"]) + 1)
        return tuple(f"{match['stem']}{number}" for number in numbers)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition; a preemptible one yields to every partition of a higher ``tier``."""

    name: str
    nodes: tuple[str, ...]
    max_time: str
    default_time: str = "01:00:00"
    tier: int = 10
    default: bool = False
    preemptible: bool = False
    billing: str = "CPU=0.25,Mem=0.02G"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A bank account below ``parent``."""

    name: str
    parent: str
    description: str


@dataclass(frozen=True, kw_only=True)
class User:
    """A system user and the accounts it may charge; the first is its default."""

    name: str
    accounts: tuple[str, ...]
    created: bool = True
    """Whether the cluster makes the system user, and removes it with the last cluster."""


@dataclass(frozen=True, kw_only=True)
class Qos:
    """A quality of service; ``preempts`` names the QOS it may preempt under QOS preemption."""

    name: str
    priority: int
    usage_factor: str = "1"
    preempts: tuple[str, ...] = ()
    preemptible: bool = False


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything a cluster is made of."""

    nodes: tuple[NodeGroup, ...]
    partitions: tuple[Partition, ...]
    accounts: tuple[Account, ...]
    users: tuple[User, ...]
    qos: tuple[Qos, ...]

    def node_names(self) -> tuple[str, ...]:
        """Every host name, in the order in which ports are given out."""
        return tuple(name for group in self.nodes for name in group.members())

    def gpu_types(self) -> tuple[str, ...]:
        """Every GPU type of the site, each once, in order of appearance."""
        return tuple(dict.fromkeys(gpus.type for group in self.nodes for gpus in group.gpus))

    def device_numbers(self) -> range:
        """The device numbers the largest node needs; nodes share the device files."""
        return range(max((g.first + g.count for n in self.nodes for g in n.gpus), default=0))


_GPU_BILLING = "CPU=0.25,Mem=0.02G,GRES/gpu=8"

ML_SITE = Site(
    nodes=(
        NodeGroup(name="cpu-[1-2]", cpus=64, memory=256_000, weight=1),
        NodeGroup(name="t4-[1-2]", cpus=32, memory=192_000, gpus=(Gpus(type="t4", count=4),), weight=10),
        NodeGroup(
            name="mixed-1",
            cpus=48,
            memory=384_000,
            gpus=(Gpus(type="v100", count=2), Gpus(type="t4", count=4, first=2)),
            weight=20,
        ),
        NodeGroup(
            name="a100-[1-2]", cpus=128, memory=1_024_000, gpus=(Gpus(type="a100", count=8),), weight=50
        ),
        NodeGroup(name="h100-1", cpus=192, memory=2_048_000, gpus=(Gpus(type="h100", count=8),), weight=100),
    ),
    partitions=(
        Partition(name="cpu", nodes=("cpu-[1-2]",), max_time="2-00:00:00", default=True),
        Partition(name="t4", nodes=("t4-[1-2]",), max_time="1-00:00:00", billing=_GPU_BILLING),
        Partition(name="a100", nodes=("a100-[1-2]",), max_time="3-00:00:00", billing=_GPU_BILLING),
        Partition(name="h100", nodes=("h100-1",), max_time="1-00:00:00", billing=_GPU_BILLING),
        Partition(name="mixed", nodes=("mixed-1",), max_time="12:00:00", billing=_GPU_BILLING),
        Partition(
            name="spot",
            nodes=("t4-[1-2]", "mixed-1", "a100-[1-2]", "h100-1"),
            max_time="2-00:00:00",
            tier=1,
            preemptible=True,
            billing="CPU=0.1,Mem=0.01G,GRES/gpu=3",
        ),
    ),
    accounts=(
        Account(name="science", parent="root", description="Faculty of science"),
        Account(name="nlp", parent="science", description="Language models"),
        Account(name="vision", parent="science", description="Computer vision"),
        Account(name="engineering", parent="root", description="Faculty of engineering"),
        Account(name="robotics", parent="engineering", description="Robot learning"),
    ),
    users=(
        User(name="root", accounts=("nlp", "vision", "robotics"), created=False),
        User(name="mlc-ana", accounts=("nlp", "vision")),
        User(name="mlc-ben", accounts=("vision",)),
        User(name="mlc-chloe", accounts=("robotics",)),
    ),
    qos=(
        Qos(name="free", priority=0, usage_factor="0", preemptible=True),
        Qos(name="normal", priority=100, preempts=("free",), preemptible=True),
        Qos(name="high", priority=1000, preempts=("free", "normal")),
    ),
)
"""A small machine-learning site: eight nodes, four GPU types, a preemptible ``spot`` over all GPU nodes."""
