"""Storage that people hold: listings of it, the days a listing stands for, and what a day costs (pure).

A listing says who held how many bytes on a day. It stands for its own day, and once a later listing is there
for the days between, up to :data:`MOST_DAYS`; days that no listing stands for cost nothing.
"""

from __future__ import annotations

import csv
from calendar import monthrange
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import MICROS, round_micros
from mlcost_hpc.slurm.api import Reject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from decimal import Decimal

TIB = 1024**4
MOST_DAYS = 31
"""Days for which a listing stands at most."""

PARTITION = "(storage)"
STATE = "STORAGE"
UNKNOWN_OWNER = "(unknown owner)"
"""The account of what nobody's is who the ledger knows."""

_HEADING = ["path", "owner", "bytes"]
_MOST_BYTES = 2**62
_LONGEST_PATH, _LONGEST_OWNER, _LONGEST_NUMBER = 4096, 256, 19


class Held(NamedTuple):
    """One line of a listing."""

    path: str
    owner: str
    bytes: int


def read_listing(lines: Iterable[bytes]) -> tuple[list[Held], list[Reject]]:
    """Return the lines ``path,owner,bytes`` of a CSV file that could be read, and the others with the reason.

    Each line is read alone, so that a stray quotation mark spoils no other. A path counts once: its first
    line holds.

    Raises:
        UsageError: when all of it together is more bytes than there can be (2^62).
    """
    held: dict[str, Held] = {}
    rejects = []
    for raw in lines:
        text = raw.decode("utf-8", errors="replace").strip("\r\n").removeprefix("\ufeff")
        if not text.strip() or text.replace(" ", "").lower().split(",") == _HEADING:
            continue
        found = _read_line(raw, text)
        if isinstance(found, Held) and found.path in held:
            found = "the path stands in the listing before"
        if isinstance(found, Held):
            held[found.path] = found
        else:
            rejects.append(Reject(text=text[:_LONGEST_PATH], why=found))
    if sum(line.bytes for line in held.values()) > _MOST_BYTES:
        raise UsageError("the listing's bytes add up to more than 2^62: are they bytes?")
    return list(held.values()), rejects


def days_of_listings(listings: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (day, listing that stands for it), in order; both are day numbers.

    Args:
        listings: the days of listings, rising.
    """
    following = dict(pairwise(listings))
    for listing in listings:
        end = min(following.get(listing, listing + 1), listing + MOST_DAYS)
        for day in range(listing, end):
            yield day, listing


def cost_of_day(held: int, tib_month: Decimal, day: date) -> int:
    """Return what bytes cost on a day, in micros, rounded once.

    A day costs an equal part of its calendar month: one of 31 in October, one of 28 in a short February.

    Args:
        held: bytes.
        tib_month: price of one TiB (1024^4 bytes) for a calendar month.
        day: the day.
    """
    exact = Fraction(tib_month) * MICROS * held / (TIB * monthrange(day.year, day.month)[1])
    return round_micros(exact.numerator, exact.denominator)


def _read_line(raw: bytes, text: str) -> Held | str:
    """Return a line, or what is wrong with it."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    try:
        fields = next(csv.reader([text], strict=True))
    except csv.Error as error:
        return f"not CSV: {error}"
    if len(fields) != len(_HEADING):
        return f"{len(fields)} fields, not path,owner,bytes"
    path, owner, amount = fields[0], fields[1].strip(), fields[2].strip()
    if not path or len(path) > _LONGEST_PATH or not path.isprintable():
        return "no path, or one that is too long or has control characters"
    if not owner or len(owner) > _LONGEST_OWNER or not owner.isprintable():
        return "no owner, or one that is too long or has control characters"
    if not (amount.isascii() and amount.isdigit()) or len(amount) > _LONGEST_NUMBER:
        return "bytes is no whole number of 0 or more"
    return Held(path, owner, int(amount))
