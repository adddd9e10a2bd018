"""What a prediction costs before and after, and when a batch has paid for itself (pure, exact)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.compress.records import Latency, Measurement, Result

MILLION = 1_000_000


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Prices that a report uses.

    Attributes:
        currency: what they are in.
        core_hour: where a model may be served (a partition) -> price of one core for one hour.
    """

    currency: str
    core_hour: Mapping[str, Decimal]


class Economics(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of one candidate at one place.

    Attributes:
        before: cost of a million predictions with the original.
        after: the same with the candidate.
    """

    before: Decimal
    after: Decimal


def per_million(seconds_a_call: float, batch: int, cores: int, core_hour: Decimal) -> Decimal:
    """Return the cost of a million predictions: time of one sample x cores x price of a core."""
    seconds = Decimal(repr(seconds_a_call)) / batch * MILLION
    return seconds * cores * core_hour / 3600


def economics(result: Result, core_hour: Decimal) -> Economics | None:
    """Return the costs at the largest batch size; None where nothing was measured.

    The candidate's is the original's over the speed-up: the two medians of the wall clock need not be of the
    same quiet moments, the speed-up is.
    """
    latency: Latency | None = max(result.latency, key=lambda item: item.batch, default=None)
    if latency is None or result.place is None or latency.speedup <= 0:
        return None
    before = per_million(latency.before.p50, latency.batch, result.place.threads, core_hour)
    return Economics(before=before, after=before / Decimal(repr(latency.speedup)))


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of one candidate where it may be served.

    Attributes:
        place: partition; empty = the card's price for anywhere.
        node_class: class of the processors whose speed counts.
        measured_there: whether that speed was measured in this partition.
        batch: samples per call.
        costs: cost of a million predictions.
    """

    place: str
    node_class: str
    measured_there: bool
    batch: int
    costs: Economics


def by_place(result: Result, prices: Prices, measurements: Sequence[Measurement]) -> list[Served]:
    """Return the costs of a candidate at every place: the price there, and the speed there where it is known.

    Args:
        result: the candidate's row; its speed counts where no other was measured.
        prices: price of a core at every place.
        measurements: later measurements.
    """
    if result.place is None:
        return []
    found = []
    for place, core_hour in prices.core_hour.items():
        there = [item for item in measurements if item.place.partition == place]
        newest = max(there, key=lambda item: item.finished, default=None)
        row = result
        if newest is not None:
            row = msgspec.structs.replace(result, latency=newest.latency, place=newest.place)
        costs, where = economics(row, core_hour), row.place
        if costs is not None and where is not None:
            found.append(
                Served(
                    place=place,
                    node_class=where.node_class,
                    measured_there=where.partition == place,
                    batch=max(item.batch for item in row.latency),
                    costs=costs,
                )
            )
    return found


def pays_back_after(spent: Decimal, costs: Economics) -> int | None:
    """Return after how many predictions the saving exceeds what was spent; None if there is no saving."""
    saved = costs.before - costs.after
    if saved <= 0:
        return None
    return math.ceil(Fraction(spent) * MILLION / Fraction(saved))
