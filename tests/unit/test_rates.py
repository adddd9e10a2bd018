"""Rate cards: read strictly, priced exactly."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from mlcost_hpc.errors import ConfigError, RateError
from mlcost_hpc.rates import GIB, RateCard, Resources, load_rates

if TYPE_CHECKING:
    from pathlib import Path

FIRST = date(2026, 1, 1)
CARD = RateCard(
    valid_from=FIRST,
    gpu_hour={"a100-40gb": Decimal("1.6")},
    cpu_hour=Decimal("0.01"),
    memory_gib_hour=Decimal("0.002"),
)
HELD = Resources(cpus=8, memory=64 * GIB, gpus={"a100-40gb": 2})


def write(folder: Path, text: str) -> Path:
    path = folder / "rates.toml"
    path.write_text(text)
    return path


def test_an_hour_is_the_sum_of_what_is_held() -> None:
    """Two GPUs, eight CPUs and 64 GiB: 3.2 + 0.08 + 0.128."""
    assert CARD.per_hour(HELD, "a100") == Decimal("3.408")


def test_the_exact_price_has_no_rounding() -> None:
    """A byte's share of a GiB is a fraction that no decimal of 28 digits holds."""
    assert CARD.exact_per_hour(Resources(memory=1), "a100") == Fraction("0.002") / GIB


def test_a_model_without_a_price_is_named_with_those_that_have_one() -> None:
    """The error says what is missing and what is there."""
    with pytest.raises(RateError, match=r"'h100' \(priced: a100-40gb\)"):
        CARD.per_hour(Resources(gpus={"h100": 1}), "h100")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("card = []", "currency"),
        ('currency = "USD"\ncard = []', "there is no rate card"),
        ('currency = "USD"\n[[card]]\nvalid_from = 2026-01-01\ncpu_hour = -1', "cpu_hour: -1 is no price"),
        ('currency = "USD"\n[[card]]\nvalid_from = 2026-01-01\ncpu_hour = nan', "is no price"),
        ('currency = "USD"\n[[card]]\nvalid_from = 2026-01-01\ncpu_our = 1', "cpu_our"),
        (
            'currency = "USD"\n[[card]]\nvalid_from = 2026-01-01\n[[card]]\nvalid_from = 2026-01-01',
            "two cards begin on the same day",
        ),
        (
            'currency = "USD"\n[[card]]\nvalid_from = 2026-01-01\n[card.state.FAILED]\nmultiplier = 2',
            "a multiplier above 1",
        ),
        (
            (
                'currency = "USD"\ntier = [{ above = 9, multiplier = 1 }, { above = 5, multiplier = 1 }]\n'
                "[[card]]\nvalid_from = 2026-01-01"
            ),
            "each tier must begin above",
        ),
    ],
)
def test_a_wrong_card_is_refused_by_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    """Negative, endless, misspelt or contradictory entries never become charges."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_rates(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_cards_hold_from_their_day(tmp_path: Path) -> None:
    """Whatever their order in the file, the newest that has begun holds; before the first there is none."""
    text = 'currency = "USD"\n[[card]]\nvalid_from = 2026-07-01\n[[card]]\nvalid_from = 2026-01-01\n'
    book = load_rates(write(tmp_path, text))
    assert book.card_at(date(2026, 6, 30)).valid_from == FIRST
    assert book.card_at(date(2026, 7, 1)).valid_from == date(2026, 7, 1)
    with pytest.raises(RateError, match="the first one begins on 2026-01-01"):
        book.card_at(date(2025, 12, 31))
