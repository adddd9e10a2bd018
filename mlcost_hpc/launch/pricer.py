"""A rate card that remembers: many partitions have the same prices, and exact arithmetic takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from mlcost_hpc.rates import RateCard, Resources


class Pricer:
    """Prices of one rate card, each worked out once.

    Args:
        card: the rate card.
    """

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._known: dict[tuple[object, ...], Decimal] = {}

    def per_hour(self, held: Resources, partition: str, qos: str = "") -> Decimal:
        """Return the price of one hour of ``held``.

        Raises:
            RateError: when a GPU model has no price.
        """
        where = partition if partition in self.card.partition else ""
        key = (where, qos, held.cpus, held.memory, held.nodes, *held.gpus.items())
        if key not in self._known:
            self._known[key] = self.card.per_hour(held, partition, qos)
        return self._known[key]
