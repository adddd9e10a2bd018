"""The capacity of a cluster over some days, from the ledger: what it cost, what was charged, what was not."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.capacity import Capacity
from mlcost_accounting.ledger.capacity_book import Presence, reservations_of, told_until
from mlcost_accounting.ledger.capacity_sums import charged_by_account, reserved_unpaid
from mlcost_accounting.node_prices import NodeKind, NodePrices
from mlcost_accounting.spans import within
from mlcost_hpc.errors import LedgerError, RateError
from mlcost_hpc.money import round_micros

if TYPE_CHECKING:
    from datetime import date

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.rating import Rater
    from mlcost_accounting.spans import Span


class CapacityOfPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's capacity over some days.

    Attributes:
        capacity: what it cost and what became of it.
        begin, end: the time it is of (UTC seconds): the period as far as the cluster told of it.
        node_hours: hours of all nodes.
        down_hours: those of nodes that were down or in maintenance.
    """

    capacity: Capacity
    begin: int
    end: int
    node_hours: Fraction
    down_hours: Fraction


def capacity_of(ledger: Ledger, rater: Rater, cluster: str, first: date, last: date) -> CapacityOfPeriod:
    """Return what a cluster's nodes cost over some days, and what became of that.

    Nodes cost what :class:`~mlcost_accounting.node_prices.NodePrices` says. Down are nodes that took no
    jobs and those in a maintenance reservation; reserved is what reservations held while up and nobody paid;
    charged is what the days' sums say (storage belongs to no cluster).

    Args:
        ledger: the ledger.
        rater: the prices and the site's days.
        cluster: the cluster.
        first: first day.
        last: last day, included.

    Raises:
        LedgerError: when the cluster never told of its nodes, or not of these days.
        RateError: when there is no price for a node, or nothing known of it.
    """
    until = told_until(ledger, cluster)
    if until is None:
        raise LedgerError(
            f"the ledger knows no nodes of cluster {cluster!r}: `mlcost ingest` asks a live cluster for them"
        )
    calendar = rater.calendar
    begin, end = calendar.begins(first), min(calendar.begins(last + timedelta(days=1)), until)
    presence = Presence(ledger, cluster, until)
    present = {node: within(spans, [(begin, end)]) for node, spans in presence.present.items()}
    if begin >= end or not any(present.values()):
        raise LedgerError(
            f"the ledger knows nothing of the nodes of cluster {cluster!r} from {first} to {last}"
        )
    down = dict(presence.down)
    for held in reservations_of(ledger, cluster, begin, end):
        if held.maintenance:
            for node in held.nodes:
                down[node] = [*down.get(node, ()), (held.started, held.ended)]
    unavailable = {node: within(spans, down.get(node, ())) for node, spans in present.items()}
    prices = NodePrices(rater)
    days = (first.toordinal(), last.toordinal())
    return CapacityOfPeriod(
        capacity=Capacity(
            total=_cost(prices, presence, present),
            down=_cost(prices, presence, unavailable),
            charged=charged_by_account(ledger, cluster, *days),
            reserved=reserved_unpaid(ledger, cluster, *days),
        ),
        begin=begin,
        end=end,
        node_hours=_hours(present),
        down_hours=_hours(unavailable),
    )


def _cost(prices: NodePrices, presence: Presence, spans: dict[str, list[Span]]) -> int:
    """Return what nodes cost for some spans of time, in micros, rounded once."""
    pieces: Counter[tuple[NodeKind, Span]] = Counter()
    for node, times in spans.items():
        for span in times:
            kinds = presence.kinds(node, span)
            if not kinds:
                raise RateError(f"nobody knows what node {node} has, or had")
            pieces.update(kinds)
    exact = sum(
        (
            micros * count
            for (kind, (start, stop)), count in pieces.items()
            for _, micros in prices.by_day(kind, start, stop)
        ),
        Fraction(0),
    )
    return round_micros(exact.numerator, exact.denominator)


def _hours(spans: dict[str, list[Span]]) -> Fraction:
    return Fraction(sum(stop - start for times in spans.values() for start, stop in times), 3600)
