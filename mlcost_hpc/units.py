"""Slurm's texts for time, memory and TRES, turned into values and back.

Pure functions. Seconds and bytes are integers; memory letters are binary (Slurm writes ``K`` and means KiB).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from mlcost_hpc.errors import UnitError

_MEMORY_LETTERS = "KMGTPE"
_NO_LIMIT = frozenset({"UNLIMITED", "INFINITE", "NONE"})
_CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})(?P<fraction>\.\d+)?")
_SUFFIXED = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])", re.IGNORECASE)
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<letter>[KMGTPE])?(?:i?B)?", re.IGNORECASE)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_time_limit(text: str) -> int | None:
    """Return the seconds of a time limit, or None where there is no limit.

    Takes Slurm's ``--time`` forms (``MM``, ``MM:SS``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM``, ``D-HH:MM:SS``,
    ``UNLIMITED``) and a person's ``90s``, ``30m``, ``1.5h``, ``2d``, ``1w``, which may follow one another
    (``1h30m``).

    Raises:
        UnitError: for anything else.
    """
    word = text.strip()
    if word.upper() in _NO_LIMIT:
        return None
    suffixed = _parse_suffixed(word)
    if suffixed is not None:
        return suffixed
    match = _CLOCK.fullmatch(word)
    if match is None or match["fraction"]:
        raise UnitError(f"{text!r} is not a time limit: write 90m, 12h, 2d, HH:MM:SS or D-HH:MM:SS")
    parts = [int(part) for part in match["clock"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return int(match["days"]) * 86400 + hours * 3600 + minutes * 60 + seconds
    if len(parts) == 3:
        return parts[0] * 3600 + parts[1] * 60 + parts[2]
    minutes, seconds = [*parts, 0][:2]
    return minutes * 60 + seconds


def parse_elapsed(text: str) -> int:
    """Return the whole seconds of a duration as Slurm prints it: ``[D-]HH:MM:SS`` or ``MM:SS[.mmm]``.

    Raises:
        UnitError: for anything else, ``INVALID`` (Slurm's word for a negative duration) included.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None or ":" not in match["clock"]:
        raise UnitError(f"{text!r} is not a duration as Slurm prints it ([D-]HH:MM:SS)")
    seconds = 0
    for part in match["clock"].split(":"):
        seconds = seconds * 60 + int(part)
    return int(match["days"] or 0) * 86400 + seconds


def format_duration(seconds: int) -> str:
    """Return ``[D-]HH:MM:SS``, the form that Slurm both prints and reads."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    clock = f"{hours:02}:{minutes:02}:{secs:02}"
    return f"{days}-{clock}" if days else clock


def parse_memory(text: str, *, default_letter: str = "M") -> int:
    """Return the bytes of ``64G``, ``1.50G``, ``65536M``, ``512`` (in ``default_letter`` units), ``80GiB``.

    The result is rounded down to whole bytes.

    Raises:
        UnitError: when the text is no amount of memory.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise UnitError(f"{text!r} is not an amount of memory: write 512M, 64G or 1.5T")
    letter = (match["letter"] or default_letter).upper()
    return int(Decimal(match["number"]) * 1024 ** (_MEMORY_LETTERS.index(letter) + 1))


def format_memory(size: int) -> str:
    """Return bytes as a short text with a binary letter that :func:`parse_memory` reads.

    Whole multiples stay exact (``64G``); others are rounded to two decimals (``1.50G``).
    """
    power = 1
    while power < len(_MEMORY_LETTERS) and abs(size) >= 1024 ** (power + 1):
        power += 1
    number = Decimal(size) / 1024**power
    text = f"{number:.0f}" if number == int(number) else f"{number:.2f}"
    return f"{text}{_MEMORY_LETTERS[power - 1]}"


class Tres(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asked for or held (trackable resources), from a TRES list.

    Attributes:
        cpus: number of CPUs.
        memory: bytes over all nodes.
        nodes: number of nodes.
        gpus: number of GPUs, the larger of the untyped count and the sum of the typed ones: sites track
            either or both, and the typed ones are part of the untyped count where both are there.
        gpu_types: GRES type name as Slurm spells it -> number of GPUs.
        billing: Slurm's own weighted figure; None where it is missing.
        other: every remaining entry as text, so that nothing is lost.
    """

    cpus: int = 0
    memory: int = 0
    nodes: int = 0
    gpus: int = 0
    gpu_types: Mapping[str, int] = {}
    billing: int | None = None
    other: Mapping[str, str] = {}

    @property
    def untyped_gpus(self) -> int:
        """GPUs of which Slurm does not say the type."""
        return self.gpus - sum(self.gpu_types.values())


def parse_tres(text: str) -> Tres:
    """Return the TRES list ``cpu=4,mem=64G,node=1,gres/gpu=2,gres/gpu:a100=2,billing=9`` as a record.

    An empty text (a job that never started) is no resources at all. Keys match exactly, order is free.

    Raises:
        UnitError: for an entry without ``=`` or a number that is none.
    """
    counts: dict[str, int] = {}
    types: dict[str, int] = {}
    other: dict[str, str] = {}
    memory = 0
    for entry in filter(None, text.strip().split(",")):
        key, equals, value = entry.partition("=")
        if not equals:
            raise UnitError(f"{entry!r} in {text!r} is not a TRES entry (key=value)")
        if key == "mem":
            memory = parse_memory(value)
        elif key in ("cpu", "node", "gres/gpu", "billing"):
            counts[key] = _parse_count(value, text)
        elif key.startswith("gres/gpu:"):
            types[key.removeprefix("gres/gpu:")] = _parse_count(value, text)
        else:
            other[key] = value
    return Tres(
        cpus=counts.get("cpu", 0),
        memory=memory,
        nodes=counts.get("node", 0),
        gpus=max(counts.get("gres/gpu", 0), sum(types.values())),
        gpu_types=types,
        billing=counts.get("billing"),
        other=other,
    )


def format_tres(tres: Tres) -> str:
    """Return a TRES list that :func:`parse_tres` reads back; empty for no resources at all."""
    counts = {"cpu": tres.cpus, "node": tres.nodes, "gres/gpu": tres.gpus}
    entries = [f"{name}={count}" for name, count in counts.items() if count]
    # Memory is in whole bytes here; the letter-less default would be MiB, so KiB is as fine as Slurm goes.
    entries += [f"mem={tres.memory // 1024}K"] if tres.memory else []
    entries += [f"gres/gpu:{name}={count}" for name, count in sorted(tres.gpu_types.items())]
    entries += [] if tres.billing is None else [f"billing={tres.billing}"]
    entries += [f"{name}={value}" for name, value in sorted(tres.other.items())]
    return ",".join(entries)


def _parse_count(value: str, text: str) -> int:
    """Return a TRES count; big ones may carry a decimal letter (``1.50K``), which ``--noconvert`` avoids."""
    try:
        return int(value)
    except ValueError:
        pass
    scale = {"K": 1000, "M": 1000**2, "G": 1000**3}.get(value[-1:].upper())
    try:
        return int(Decimal(value[:-1]) * (scale or 0)) if scale else int(Decimal(value))
    except (InvalidOperation, ValueError, OverflowError):
        raise UnitError(f"{value!r} in {text!r} is not a number") from None


def _parse_suffixed(word: str) -> int | None:
    """Return the seconds of ``1h30m``-like texts, None when the text is not of that form."""
    total = Decimal(0)
    end = 0
    for match in _SUFFIXED.finditer(word):
        if match.start() != end:
            return None
        total += Decimal(match["number"]) * _UNIT_SECONDS[match["unit"].lower()]
        end = match.end()
    return int(total) if end and end == len(word) else None
