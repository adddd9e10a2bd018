"""The price of an hour in words: they give the price, or nothing is said."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlcost_accounting.price_words import price_words

from mlcost_hpc.rates import GIB, PartitionRate, QosRate, RateCard, Resources, SizeRule

HELD = Resources(cpus=16, memory=96 * GIB, gpus={"a100-80gb": 2}, nodes=1)


def card(**changes: Any) -> RateCard:
    """A card with a price for everything."""
    fields: dict[str, Any] = {
        "valid_from": date(2020, 1, 1), "cpu_hour": Decimal("0.012"), "memory_gib_hour": Decimal("0.0015"),
        "gpu_hour": {"a100-80gb": Decimal("1.85")},
        "partition": {"spot": PartitionRate(multiplier=Decimal("0.4"))},
        "qos": {"high": QosRate(multiplier=Decimal(2))},
    }  # fmt: skip
    return RateCard(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "partition", "qos", "words"),
    [
        ({}, "a100", "", "2 a100-80gb x 1.85 + 16 CPUs x 0.012 + 96 GiB x 0.0015 = 4.036"),
        ({}, "spot", "", "(2 a100-80gb x 1.85 + 16 CPUs x 0.012 + 96 GiB x 0.0015) x 0.4 = 1.6144"),
        ({"cpu_hour": Decimal(0), "memory_gib_hour": Decimal(0)}, "spot", "high",
         "(2 a100-80gb x 1.85) x 0.8 = 2.96"),
        ({"combine": "max"}, "a100", "",
         "the largest of (2 a100-80gb x 1.85, 16 CPUs x 0.012, 96 GiB x 0.0015) = 3.7"),
        ({"size": (SizeRule(cpus=8, multiplier=Decimal("0.5")),)}, "a100", "",
         "(2 a100-80gb x 1.85 + 16 CPUs x 0.012 + 96 GiB x 0.0015) x 0.5 = 2.018"),
        ({"partition": {"a100": PartitionRate(basis="whole-node", node_hour=Decimal(9))}}, "a100", "",
         "1 node x 9 = 9"),
    ],
)  # fmt: skip
def test_the_words_tell_the_price(changes: dict[str, Any], partition: str, qos: str, words: str) -> None:
    """What was held times its prices, the larger where the card says so, times the factors."""
    assert price_words(card(**changes), HELD, partition, qos) == words


@given(
    cpus=st.integers(0, 300), gib=st.integers(0, 2000), gpus=st.integers(0, 16), step=st.integers(1, 8),
    included=st.integers(0, 4), combine=st.sampled_from(["sum", "max", "max-cpu-memory"]),
)  # fmt: skip
def test_words_end_with_the_price_that_is_charged(
    cpus: int, gib: int, gpus: int, step: int, included: int, combine: Any
) -> None:
    """Whatever the card rounds up or leaves free, the result is the price of the rate card, or no words."""
    made = card(
        combine=combine, cpu_step=step, memory_step=Decimal(step), included_memory_per_cpu=Decimal(included)
    )
    held = Resources(cpus=cpus, memory=gib * GIB, gpus={"a100-80gb": gpus} if gpus else {}, nodes=1)
    words = price_words(made, held, "spot", "high")
    exact = made.exact_per_hour(held, "spot", "high")
    assert bool(words) == bool(exact)
    if words:
        assert Decimal(words.rpartition(" = ")[2]) == Decimal(exact.numerator) / Decimal(exact.denominator)
