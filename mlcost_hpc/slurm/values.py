"""Single values as Slurm prints them: its many words for "none", its times and its numbers (pure)."""

from __future__ import annotations

from calendar import timegm
from functools import lru_cache
from time import strptime

from mlcost_hpc.errors import UnitError
from mlcost_hpc.units import Tres, parse_time_limit, parse_tres

NOTHING = frozenset(
    {"", "(null)", "null", "N/A", "n/a", "NONE", "None", "Unknown", "(unknown)", "None assigned", "INVALID"}
)
"""Words that stand for the absence of a value."""

_NO_NUMBER = frozenset({"4294967294", "4294967295", "18446744073709551614", "18446744073709551615"})
# Sentinels are at the end of 32 bits; no job of this century comes near.
_FIRST_SENTINEL = 4294967294

# Rows of one cluster repeat few different values: the tasks of an array share resources, limits and times.
_CACHED = 65536


def text_or_empty(text: str) -> str:
    """Return the text, or an empty one for Slurm's words for "none"."""
    return "" if text in NOTHING else text


@lru_cache(maxsize=_CACHED)
def parse_names(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list without brackets."""
    return () if text in NOTHING else tuple(filter(None, text.split(",")))


@lru_cache(maxsize=_CACHED)
def parse_moment(text: str) -> int | None:
    """Return UTC seconds of a time that was printed with ``TZ=UTC``; None where there is none.

    Takes epoch seconds (``SLURM_TIME_FORMAT=%s``) and Slurm's default ``2026-07-31T04:00:28``.

    Raises:
        UnitError: when the text is no time.
    """
    # isdigit() alone would let digits of other scripts pass.
    if text.isdigit() and text.isascii():
        seconds = int(text)
        return seconds if 0 < seconds < _FIRST_SENTINEL else None
    if text in NOTHING:
        return None
    try:
        return timegm(strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        raise UnitError(f"{text!r} is not a time as Slurm prints it") from None


@lru_cache(maxsize=_CACHED)
def parse_count(text: str) -> int | None:
    """Return a whole number; None where there is none or Slurm's sentinel for it.

    Raises:
        UnitError: when the text is no number.
    """
    if text in _NO_NUMBER:
        return None
    if text.isdigit() and text.isascii():
        return int(text)
    if text in NOTHING or text.upper() in ("UNLIMITED", "INFINITE"):
        return None
    raise UnitError(f"{text!r} is not a number")


@lru_cache(maxsize=_CACHED)
def parse_limit(text: str) -> int | None:
    """Return the seconds of a time limit; None where there is none or it cannot be read.

    A limit that cannot be read (``Partition_Limit``, ``NOT_SET``) is the partition's own.
    """
    try:
        return parse_time_limit(text)
    except UnitError:
        return None


@lru_cache(maxsize=_CACHED)
def parse_tres_cached(text: str) -> Tres:
    """Return :func:`~mlcost_hpc.units.parse_tres` of the text, empty for Slurm's words for "none".

    Raises:
        UnitError: when the text is no TRES list.
    """
    return Tres() if text in NOTHING else parse_tres(text)
