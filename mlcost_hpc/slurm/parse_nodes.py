"""``scontrol show node -d`` -> :class:`~mlcost_hpc.slurm.api.Node` records (pure)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError, UnitError
from mlcost_hpc.slurm.api import Node
from mlcost_hpc.slurm.gres import gpus_of_tres, parse_gpus
from mlcost_hpc.slurm.scontrol_text import required, split_records
from mlcost_hpc.slurm.values import parse_count, parse_names, parse_tres_cached

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTION = "scontrol show node"
_MIB = 1024**2

# A mark behind the base state, in older versions and in sinfo, means the same as a flag word.
_MARKS = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "%": "POWERING_DOWN",
    "!": "POWER_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
}


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Return the nodes of an answer, each once, in its order.

    Raises:
        SlurmAnswerError: when the answer is cut off or something needed is missing or unreadable.
    """
    nodes: dict[str, Node] = {}
    for record in split_records(text, "NodeName", QUESTION):
        nodes.setdefault(record["NodeName"], _node(record))
    return tuple(nodes.values())


@lru_cache(maxsize=4096)
def parse_states(text: str) -> frozenset[str]:
    """Return base state and flags of ``DOWN*+DRAIN``: upper-case words, marks turned into words."""
    states = set()
    for word in filter(None, text.upper().split("+")):
        base = word.rstrip("".join(_MARKS))
        states.add(base)
        states.update(_MARKS[mark] for mark in word[len(base) :])
    return frozenset(states)


def _node(record: Mapping[str, str]) -> Node:
    gpus = parse_gpus(record.get("Gres", ""))
    return Node(
        name=record["NodeName"],
        states=parse_states(required(record, "State", "NodeName")),
        cpus=_count(record, "CPUTot"),
        cpus_allocated=_count(record, "CPUAlloc"),
        memory=_count(record, "RealMemory") * _MIB,
        memory_allocated=_count(record, "AllocMem") * _MIB,
        gpus=gpus,
        gpus_allocated=_gpus_allocated(record, gpus),
        partitions=parse_names(record.get("Partitions", "")),
        features=parse_names(record.get("AvailableFeatures", "")),
    )


def _gpus_allocated(record: Mapping[str, str], gpus: Mapping[str, int]) -> Mapping[str, int]:
    """Return GPUs in use by type: what the node itself says first, which needs no accounting."""
    if "GresUsed" in record:
        return parse_gpus(record["GresUsed"])
    try:
        return gpus_of_tres(parse_tres_cached(record.get("AllocTRES", "")), gpus)
    except UnitError as error:
        raise SlurmAnswerError(f"{QUESTION}: node {record['NodeName']}: {error}") from None


def _count(record: Mapping[str, str], key: str) -> int:
    try:
        return parse_count(required(record, key, "NodeName")) or 0
    except UnitError as error:
        raise SlurmAnswerError(f"{QUESTION}: node {record['NodeName']}: {key}: {error}") from None
