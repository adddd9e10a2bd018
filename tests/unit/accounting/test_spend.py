"""Spend tiers, sharing out, and conservation: parts always add up."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import NOON, Books, make_book, row
from mlcost_accounting.capacity import Capacity, share_out
from mlcost_accounting.pricing import digest_of, hold_prices
from mlcost_accounting.reports import usage
from mlcost_accounting.spend import Tiers, spread

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rate_rules import Tier
from mlcost_hpc.rates import load_rates

if TYPE_CHECKING:
    from collections.abc import Callable

TIERS = (
    Tier(above=Decimal(10), multiplier=Decimal("0.5")),
    Tier(above=Decimal(20), multiplier=Decimal("0.1")),
)
amounts = st.integers(-(10**12), 10**12)


@given(amount=amounts, weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=9))
def test_parts_add_up(amount: int, weights: list[int]) -> None:
    """Spreading loses and makes nothing, and each part is within one micro of its share."""
    parts = spread(amount, weights)
    assert sum(parts) == amount
    if sum(weights):
        shares = [amount * weight / sum(weights) for weight in weights]
        assert all(abs(part - share) <= 1.01 for part, share in zip(parts, shares, strict=True))


@given(
    total=amounts,
    charged=st.dictionaries(st.text("abc", min_size=1), amounts, max_size=5),
    down=st.integers(0, 10**12),
    reserved=st.integers(0, 10**12),
    modes=st.tuples(*[st.sampled_from(["none", "proportional", "even"])] * 3),
)
def test_charged_idle_down_and_reserved_are_the_capacity(
    total: int, charged: dict[str, int], down: int, reserved: int, modes: tuple[str, str, str]
) -> None:
    """However the rest is shared, also when more was charged than there was."""
    capacity = Capacity(total=total, charged=charged, down=down, reserved=reserved)
    sharing = dict(zip(("idle", "down", "reserved"), modes, strict=True))
    rows = share_out(capacity, sharing)  # type: ignore[arg-type]
    assert sum(sum(line.values()) for line in rows.values()) == total
    assert sum(line["charged"] for line in rows.values()) == sum(charged.values())


def test_tiers_hold_above_their_mark() -> None:
    """Of 25 spent, 10 cost full, 10 half, 5 a tenth: 5 + 4.5 are taken off."""
    tiers = Tiers(tier=TIERS, begins=10)
    assert tiers.discount(25_000_000) == 9_500_000
    assert tiers.discount(9_000_000) == 0


def test_a_fiscal_year_begins_in_its_month() -> None:
    """September belongs to the year that began in October before."""
    tiers = Tiers(tier=TIERS, begins=10)
    assert tiers.year_begins(date(2026, 9, 30).toordinal()) == date(2025, 10, 1).toordinal()
    assert tiers.year_begins(date(2026, 10, 1).toordinal()) == date(2026, 10, 1).toordinal()


def test_an_account_pays_less_once_it_spent_enough(make_books: Callable[..., Books]) -> None:
    """Five runs of 4.80: the third crosses 10, the fifth 20; in whatever order they come in."""
    book = make_book(tier=TIERS)
    books = make_books(book)
    hold_prices(books.ledger, books.kinds, digest_of(book, load_catalog()))
    day = 86400
    for number in (4, 0, 2, 1, 3):
        start = NOON + number * day
        books.take(
            row(JobID=number, JobIDRaw=number, DBIndex=number, Submit=start, Start=start, End=start + 3600)
        )
    costs = [line["cost"] for line in usage(books.ledger, ["day"])]
    assert costs == ["4.800000", "4.800000", "2.600000", "2.400000", "0.800000"]
    assert sum(map(Decimal, costs)) == 10 + 5 + Decimal("0.4")


def test_the_ready_made_card_with_spend_tiers(make_books: Callable[..., Books]) -> None:
    """Caltech: of 28,000 at list price 5,000 in full, 15,000 at 80 %, 8,000 at half; October begins anew."""
    cards = Path(__file__).parents[3] / "accounting" / "config" / "cards"
    books = make_books(load_rates(cards / "spend-tiers.toml"))
    hold_prices(books.ledger, books.kinds, "tiers")
    held = {"AllocTRES": "cpu=10000,node=100", "ElapsedRaw": 360_000, "TimelimitRaw": ""}
    spring, autumn = NOON + 90 * 86400, NOON + 300 * 86400
    starts = (spring, spring + 40 * 86400, autumn)
    costs = []
    for number, start in enumerate(starts, 1):
        books.take(row(DBIndex=number, Submit=start, Start=start, End=start + 360_000, **held))
        costs.append(books.cost())
    assert costs == [12_200_000_000, 21_000_000_000, 33_200_000_000]
