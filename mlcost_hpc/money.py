"""Exact amounts of money and the one rounding rule.

An amount is an integer number of *micros*: millionths of the currency's main unit. Prices are read as
decimals, never as binary floats. A charge is an exact fraction until :func:`round_micros` makes it an amount,
once, at the charge line; everything after that is addition of integers.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

MICROS = 1_000_000
"""Micros in one unit of the currency."""


def round_micros(numerator: int, denominator: int) -> int:
    """Return the fraction ``numerator / denominator`` (micros) rounded half to even, the one rounding rule.

    Half to even has no drift: over many charges as much is rounded up as down.
    """
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient


def to_micros(amount: Decimal) -> int:
    """Return an amount as micros; finer than a micro is an error of the caller (ValueError), not rounded."""
    micros = amount * MICROS
    whole = int(micros)
    if micros != whole:
        raise ValueError(f"{amount} has more than 6 decimals")
    return whole


def to_decimal(micros: int) -> Decimal:
    """Return micros as an exact decimal in the currency's main unit."""
    return Decimal(micros).scaleb(-6)


def format_money(micros: int, *, places: int = 2) -> str:
    """Return an amount for people: ``1,234.50``, rounded half to even to ``places`` decimals."""
    return f"{to_decimal(micros).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,}"


def exact_money(micros: int) -> str:
    """Return an amount for machines (CSV, JSON): all six decimals, no grouping."""
    return f"{to_decimal(micros):.6f}"
