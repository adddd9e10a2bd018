"""The records of rating: a run as far as its charge depends on it, its charge, a day's arithmetic."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import NamedTuple

import msgspec

OPEN_STATES = frozenset(
    {"PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "STOPPED", "RESV_DEL_HOLD",
     "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SIGNALING", "STAGE_OUT"}
)  # fmt: skip
"""States of a run that has not ended; every other word, known or not, is an end."""


class Span(NamedTuple):
    """A run that started, as far as its charge depends on it; times in UTC seconds.

    ``seen`` is when the row was read: what is not known then is not charged.
    """

    partition: str
    qos: str
    state: str
    allocated: str
    node_count: int
    started: int
    elapsed_s: int
    suspended_s: int
    time_limit_s: int | None
    reservation: str
    seen: int


class Slice(NamedTuple):
    """A run's part on one day; ``cost`` and ``credit`` are micros, ``cost`` is None for a refused charge."""

    day: int
    wall_s: int
    cpu_s: int
    gpu_s: int
    node_s: int
    cost: int | None
    credit: int


class Charge(NamedTuple):
    """A run's days, and why it is not charged where it is not: (kind, words for a person)."""

    slices: tuple[Slice, ...]
    problem: tuple[str, str] | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The arithmetic of one day of a run, for ``why-charge``.

    Attributes:
        day: day number.
        seconds: seconds on that day.
        weighed_s: the same, each second times its factor by time of day.
        card: first day of the card that holds.
        per_hour: price of an hour of what was held, currency units.
        exact: seconds x price, currency units.
    """

    day: int
    seconds: int
    weighed_s: Fraction
    card: date
    per_hour: Fraction
    exact: Fraction
