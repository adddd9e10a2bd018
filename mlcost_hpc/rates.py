"""Rate cards: what an hour of each resource costs, with the day from which each card holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlcost_hpc.errors import ConfigError, RateError
from mlcost_hpc.tomlfile import convert_toml

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

GIB = 1024**3

Price = Annotated[Decimal, msgspec.Meta(ge=Decimal(0))]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a job holds while it runs.

    Attributes:
        cpus: CPUs.
        memory: bytes.
        gpus: GPU model (catalogue key) -> number of GPUs.
    """

    cpus: int = 0
    memory: int = 0
    gpus: Mapping[str, int] = {}


class PartitionRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different in one partition.

    Attributes:
        multiplier: factor on every price there, for instance 0.4 for a preemptible partition.
    """

    multiplier: Price = Decimal(1)


class RateCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices that hold from a day on.

    Attributes:
        valid_from: first day, beginning at the site's midnight.
        gpu_hour: GPU model -> price of one GPU for one hour.
        cpu_hour: price of one CPU for one hour.
        memory_gib_hour: price of one GiB for one hour.
        partition: partition -> what is different there.
    """

    valid_from: date
    gpu_hour: Mapping[str, Price] = {}
    cpu_hour: Price = Decimal(0)
    memory_gib_hour: Price = Decimal(0)
    partition: Mapping[str, PartitionRate] = {}

    def multiplier(self, partition: str) -> Decimal:
        """Return the factor on every price in a partition."""
        rate = self.partition.get(partition)
        return Decimal(1) if rate is None else rate.multiplier

    def gpu_price(self, model: str) -> Decimal:
        """Return the price of one GPU-hour before any multiplier.

        Raises:
            RateError: when the card has no price for this model.
        """
        try:
            return self.gpu_hour[model]
        except KeyError:
            raise RateError(
                f"the rate card of {self.valid_from} has no price for GPU model {model!r} "
                f"(priced: {', '.join(sorted(self.gpu_hour)) or 'none'})"
            ) from None

    def per_hour(self, held: Resources, partition: str) -> Decimal:
        """Return the exact price of one hour of ``held`` in a partition, in the currency's main unit.

        Raises:
            RateError: when a GPU model has no price.
        """
        gpus = sum((self.gpu_price(model) * count for model, count in held.gpus.items()), Decimal(0))
        cpus = self.cpu_hour * held.cpus
        memory = self.memory_gib_hour * held.memory / GIB
        return (gpus + cpus + memory) * self.multiplier(partition)


class RateBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rate cards of a site, oldest first.

    Attributes:
        currency: what the prices are in, for instance ``USD``.
        card: the cards.
    """

    currency: str
    card: tuple[RateCard, ...]

    def card_at(self, day: date) -> RateCard:
        """Return the card that holds on a day (site time zone).

        Raises:
            RateError: when every card begins later.
        """
        valid = [card for card in self.card if card.valid_from <= day]
        if not valid:
            raise RateError(f"no rate card holds on {day}: the first one begins on {self.card[0].valid_from}")
        return valid[-1]

    def card_now(self, zone: ZoneInfo) -> RateCard:
        """Return today's card."""
        return self.card_at(datetime.now(zone).date())


def load_rates(path: Path) -> RateBook:
    """Return the rate cards of a TOML file, oldest first.

    Raises:
        ConfigError: naming the file and the key that is wrong.
    """
    book = convert_toml(path, RateBook)
    if not book.card:
        raise ConfigError(f"{path}: card: there is no rate card")
    days = [card.valid_from for card in book.card]
    if len(set(days)) != len(days):
        raise ConfigError(f"{path}: card: two cards begin on the same day")
    return msgspec.structs.replace(book, card=tuple(sorted(book.card, key=lambda card: card.valid_from)))
