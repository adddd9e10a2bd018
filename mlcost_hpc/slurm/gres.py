"""Slurm's generic resources of a node, ``gpu:a100:4(S:0-1)``: how many GPUs of which type (pure)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import UNTYPED
from mlcost_hpc.slurm.values import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_hpc.units import Tres

# Which sockets or which devices: "(S:0-1)", "(IDX:0,3)", "(IDX:N/A)", "(CNT:4)". Commas can stand inside.
_PLACES = re.compile(r"\((?:S|IDX|CNT):[^)]*\)")
_COUNT = re.compile(r"(?P<number>\d+)(?P<letter>[KMGT]?)")
_NO_TYPE = "(null)"
_SCALE = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@lru_cache(maxsize=4096)
def parse_gpus(text: str) -> Mapping[str, int]:
    """Return GRES type -> number of GPUs of a ``Gres=`` or ``GresUsed=`` value, without those of 0.

    Takes ``gpu:4``, ``gpu:a100:4(S:0-1)``, ``gpu:2080:2(S:0)`` (a type of digits), ``gpu:1g.10gb:7`` (MIG),
    ``gpu:a:2,gpu:b:2``, ``gpu:(null):2(IDX:0-1)`` (used, without a type), ``gpu:a100:no_consume:4``.

    Raises:
        SlurmAnswerError: when a GPU entry cannot be read.
    """
    counts: dict[str, int] = {}
    if text not in NOTHING:
        for entry in _PLACES.sub("", text).split(","):
            words = [word for word in entry.split(":") if word != "no_consume"]
            if words[0] == "gpu":
                gpu_type, count = _read_entry(words[1:], text)
                counts[gpu_type] = counts.get(gpu_type, 0) + count
    return {gpu_type: count for gpu_type, count in counts.items() if count}


def gpus_of_tres(tres: Tres, present: Mapping[str, int]) -> Mapping[str, int]:
    """Return GRES type -> GPUs of a node's AllocTRES.

    Args:
        tres: what jobs hold there.
        present: the node's GPUs by type. GPUs that the TRES list counts without a type are of the node's
            type where it has only one.
    """
    counts = dict(tres.gpu_types)
    if tres.untyped_gpus:
        only = next(iter(present)) if len(present) == 1 else UNTYPED
        counts[only] = counts.get(only, 0) + tres.untyped_gpus
    return {gpu_type: count for gpu_type, count in counts.items() if count}


def _read_entry(words: list[str], text: str) -> tuple[str, int]:
    """Return type and count of the words after ``gpu``."""
    if not words:
        return UNTYPED, 1
    match = _COUNT.fullmatch(words[-1])
    if match is None:
        if len(words) == 1:
            return words[0], 1
        raise SlurmAnswerError(f"{words[-1]!r} is not a number of GPUs in {text!r}")
    gpu_type = ":".join(words[:-1])
    return (
        UNTYPED if gpu_type == _NO_TYPE else gpu_type,
        int(match["number"]) * _SCALE[match["letter"]],
    )
