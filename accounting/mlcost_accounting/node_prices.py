"""What a node costs: the price that a job pays which holds all of it (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlcost_accounting.charge import Span
from mlcost_hpc.errors import RateError
from mlcost_hpc.money import MICROS

if TYPE_CHECKING:
    from fractions import Fraction

    from mlcost_accounting.rating import Rater


class NodeKind(NamedTuple):
    """What a node has, as a TRES list, and the partitions it is in."""

    tres: str
    partitions: tuple[str, ...]


class NodePrices:
    """Prices nodes, each kind and span of time once.

    A node in several partitions costs what its dearest one asks: that a cheap partition also uses it makes it
    no cheaper to hold.

    Args:
        rater: the prices and the site's days.
    """

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self._known: dict[tuple[NodeKind, int, int], tuple[tuple[int, Fraction], ...]] = {}

    def by_day(self, kind: NodeKind, start: int, stop: int) -> tuple[tuple[int, Fraction], ...]:
        """Return (day number, exact micros) of a node for a span of time (UTC seconds).

        Raises:
            RateError: when there is no card, or no price for what the node has.
        """
        key = (kind, start, stop)
        found = self._known.get(key)
        if found is None:
            span = self._span(kind, start, stop)
            found = tuple((step.day, step.exact * MICROS) for step in self._rater.steps(span))
            self._known[key] = found
        return found

    def _span(self, kind: NodeKind, start: int, stop: int) -> Span:
        card = self._rater.card(self._rater.calendar.day_of(start)[0])
        priced: list[tuple[Fraction, Span]] = []
        problem = RateError("the node is in no partition")
        for partition in kind.partitions or ("",):
            span = Span(partition, "", "", kind.tres, 1, start, stop - start, 0, None, "", stop)
            try:
                priced.append((self._rater.price(card, span), span))
            except RateError as error:
                problem = error
        if not priced:
            raise problem
        return max(priced, key=lambda pair: pair[0])[1]
