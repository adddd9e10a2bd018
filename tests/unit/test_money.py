"""Exact amounts and the one rounding rule."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.money import exact_money, format_money, round_micros, to_decimal, to_micros


@given(numerator=st.integers(-(10**20), 10**20), denominator=st.integers(1, 10**12))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    """The integer rule is what Python's exact fractions say."""
    assert round_micros(numerator, denominator) == round(Fraction(numerator, denominator))


@given(micros=st.integers(-(10**15), 10**15))
def test_amounts_survive_as_text(micros: int) -> None:
    """Six decimals hold every micro."""
    assert to_micros(Decimal(exact_money(micros))) == micros
    assert to_decimal(micros).quantize(Decimal("0.000001"), ROUND_HALF_EVEN) == to_decimal(micros)


def test_finer_than_a_micro_is_an_error() -> None:
    """Nothing is rounded behind the caller's back."""
    with pytest.raises(ValueError, match="6 decimals"):
        to_micros(Decimal("0.0000001"))


def test_people_see_two_places_and_groups() -> None:
    """1234.505 is shown as 1,234.50 (half to even)."""
    assert format_money(1_234_505_000) == "1,234.50"
