"""Slurm's short form of node lists: ``a100-[1-3,07],login`` (pure)."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.values import NOTHING


@lru_cache(maxsize=65536)
def expand_hostlist(text: str) -> tuple[str, ...]:
    """Return the names of a node list in its order: ``a-[1-2],b`` gives ``a-1``, ``a-2``, ``b``.

    Leading zeros are kept; several brackets in one name multiply. No list (``(null)``) is no names.

    Raises:
        SlurmAnswerError: when brackets do not match or a range is none.
    """
    if text in NOTHING:
        return ()
    if "[" not in text and "]" not in text:
        return tuple(filter(None, text.split(",")))
    return tuple(name for part in _split(text) for name in _expand_name(part, text))


def expand_range(item: str, text: str) -> list[str]:
    """Return the numbers of ``3`` or ``08-11`` as texts of the first one's width.

    Raises:
        SlurmAnswerError: quoting ``text``, the list that the range is part of.
    """
    first, dash, last = item.partition("-")
    if not dash:
        return [first]
    if not (first.isdecimal() and last.isdecimal()):
        raise SlurmAnswerError(f"{item!r} is not a range in node list {text!r}")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _split(text: str) -> list[str]:
    """Return the parts between commas that stand outside brackets."""
    parts: list[str] = []
    begin = depth = 0
    for index, char in enumerate(text):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[begin:index])
            begin = index + 1
        if depth not in (0, 1):
            raise SlurmAnswerError(f"brackets do not match in node list {text!r}")
    if depth:
        raise SlurmAnswerError(f"brackets do not match in node list {text!r}")
    parts.append(text[begin:])
    return [part for part in parts if part]


def _expand_name(part: str, text: str) -> list[str]:
    """Return the names that one part stands for."""
    pieces: list[list[str]] = []
    rest = part
    while rest:
        plain, bracket, rest = rest.partition("[")
        pieces.append([plain])
        if bracket:
            inside, _, rest = rest.partition("]")
            pieces.append([number for item in inside.split(",") for number in expand_range(item, text)])
    return ["".join(choice) for choice in product(*pieces)]
