"""Storage listings: reading, the days they stand for, prices, and one sum in report and invoice."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import NOON, Books, make_book, row
from mlcost_accounting.ledger.closing import close_period
from mlcost_accounting.ledger.contents import contents
from mlcost_accounting.ledger.scoped import EVERYTHING
from mlcost_accounting.ledger.storage_book import keep_listing, storage_lines
from mlcost_accounting.periods import parse_period
from mlcost_accounting.pricing import digest_of, hold_prices
from mlcost_accounting.reporting.books import ScopedBooks
from mlcost_accounting.reporting.invoice import invoice_of
from mlcost_accounting.reports import usage
from mlcost_accounting.storage import (
    MOST_DAYS,
    PARTITION,
    TIB,
    UNKNOWN_OWNER,
    Held,
    cost_of_day,
    days_of_listings,
    read_listing,
)

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.errors import UsageError
from mlcost_hpc.rates import RateCard

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = date(2026, 1, 1)
MONTH = parse_period("2026-01", DAY)
CARD = RateCard(
    valid_from=date(2020, 1, 1),
    gpu_hour={"a100-40gb": Decimal(2)},
    cpu_hour=Decimal("0.1"),
    storage_tib_month=Decimal(31),
)
BOOK = make_book(CARD)


@pytest.fixture
def books(make_books: Callable[..., Books]) -> Books:
    """Return a ledger whose card has a price of storage (1 a TiB and day in January), and a run of ana's."""
    made = make_books(BOOK)
    hold_prices(made.ledger, made.kinds, digest_of(BOOK, load_catalog()))
    made.take(row())
    return made


def keep(books: Books, day: date, *lines: Held, book: Any = BOOK) -> int:
    changed = keep_listing(books.ledger, day, lines, lambda account: account, book)
    books.ledger.refresh()
    return changed


def test_lines_are_read_and_bad_ones_are_kept_apart() -> None:
    """Heading, BOM, quoted commas and CRLF are read; each bad line is rejected alone, with its reason."""
    held, rejects = read_listing(
        [
            b"\xef\xbb\xbfpath,owner,bytes\r\n", b'"/home/a,b",ana,10\r\n', b"\n", b"/x,ben,-1\n",
            b"/x,ben,1e3\n",
            b"/x,ben\n", b'"/open,ben,1\n', b"/\xff,ben,1\n", b"/x\x1b[31m,ben,1\n", b",ben,1\n", b"/x,,1\n",
            "/x,ben,٣\n".encode(), b"/home/c,<script>,=1\n", b"/last,<script>,7",
            b"/last,ana,7\n", b"/x,ben,99999999999999999999\n",
        ]
    )  # fmt: skip
    assert held == [Held("/home/a,b", "ana", 10), Held("/last", "<script>", 7)]
    assert len(rejects) == 12
    assert all(reject.why for reject in rejects)


def test_more_bytes_than_there_can_be_are_refused() -> None:
    """A sum that the ledger's integers cannot hold is an error, not an overflow."""
    with pytest.raises(UsageError, match="2\\^62"):
        read_listing([b"/a,ana,4611686018427387904\n", b"/b,ana,1\n"])


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_whatever_a_listing_holds_is_read_or_rejected(lines: list[bytes]) -> None:
    """No bytes make reading fail, and no path counts twice."""
    held, rejects = read_listing(lines)
    assert len(held) + len(rejects) <= len(lines)
    assert len({line.path for line in held}) == len(held)
    assert all(line.bytes >= 0 and line.path.isprintable() and line.owner.isprintable() for line in held)


@given(st.sets(st.integers(700_000, 700_400), max_size=12))
def test_a_day_has_one_listing_the_newest_before_it(listings: set[int]) -> None:
    """Days are told once, in order, by the newest listing; only the last listing stands for one day."""
    days = list(days_of_listings(sorted(listings)))
    assert [day for day, _ in days] == sorted({day for day, _ in days})
    for day, listing in days:
        assert listing == max(other for other in listings if other <= day)
        assert day - listing < MOST_DAYS
        assert day == listing or listing != max(listings)
    assert {listing for _, listing in days} == listings


@given(st.integers(0, 2**62), st.decimals(0, 1000, places=4), st.integers(1, 12))
def test_the_days_of_a_month_add_up_to_its_price(held: int, price: Decimal, month: int) -> None:
    """Each day is rounded once: a month differs from its price by half a micro a day at most."""
    first = date(2026, month, 1)
    days = [
        first + timedelta(days=back) for back in range(31) if (first + timedelta(days=back)).month == month
    ]
    total = sum(cost_of_day(held, price, day) for day in days)
    assert abs(total * TIB - held * int(price * 10**4) * 100) * 2 <= len(days) * TIB


def test_a_day_is_a_part_of_its_month() -> None:
    """One TiB at 31 a month: 1 on a day of January, 31/28 on one of February, rounded to micros."""
    assert cost_of_day(TIB, Decimal(31), date(2026, 1, 5)) == 1_000_000
    assert cost_of_day(TIB, Decimal(31), date(2026, 2, 5)) == 1_107_143


def test_owners_are_users_accounts_or_named_unknown(books: Books) -> None:
    """Ana ran jobs in nlp; nlp is an account; nobody knows the third."""
    keep(books, DAY, Held("/a", "ana", TIB), Held("/g", "nlp", 2 * TIB), Held("/z", "=cmd()", 3 * TIB))
    lines = [(line["account"], line["owner"], line["cost"]) for line in storage_lines(books.ledger, MONTH)]
    assert lines == [
        (UNKNOWN_OWNER, "=cmd()", 3_000_000), ("nlp", "ana", 1_000_000), ("nlp", "nlp", 2_000_000),
    ]  # fmt: skip


def test_the_same_listing_again_changes_nothing(books: Books) -> None:
    """Also after the owner moved to another account; another listing of the day takes its place."""
    assert keep(books, DAY, Held("/a", "ana", TIB)) == 1
    before = list(contents(books.ledger))
    assert keep(books, DAY, Held("/a", "ana", TIB)) == 0
    assert list(contents(books.ledger)) == before
    books.take(*(row(DBIndex=n, JobID=n, JobIDRaw=n, Account="vision") for n in (5, 6, 7)))
    assert keep(books, DAY, Held("/a", "ana", TIB)) == 0
    assert keep(books, DAY, Held("/b", "ana", TIB)) == 1
    assert [line["account"] for line in storage_lines(books.ledger, MONTH)] == ["vision"]


def test_listings_in_any_order_give_the_same(make_books: Callable[..., Books]) -> None:
    """Three listings, shuffled: the same charges to the micro."""
    found = set()
    for seed in range(4):
        books = make_books(BOOK)
        days = [(DAY, 5), (DAY + timedelta(days=3), 7), (DAY + timedelta(days=9), 1)]
        random.Random(seed).shuffle(days)
        for day, size in days:
            keep(books, day, Held("/a", "ana", size * TIB))
        found.add(books.cost())
    assert found == {(3 * 5 + 6 * 7 + 1) * 1_000_000}


def test_report_and_invoice_have_the_same_sum(books: Books) -> None:
    """Storage is in both, as a line of its own, before the month is closed and after."""
    keep(books, DAY, Held("/a", "ana", TIB))
    keep(books, DAY + timedelta(days=30), Held("/a", "ana", 2 * TIB))
    (line,) = usage(books.ledger, ["account"], MONTH.first, MONTH.last)
    assert (line["cost"], line["storage_cost"], line["runs"]) == ("36.800000", "32.000000", 1)
    parts = {part["partition"]: part["cost"] for part in usage(books.ledger, ["partition"])}
    assert parts == {PARTITION: "32.000000", "a100": "4.800000"}
    models = {part["gpu_model"]: part["cost"] for part in usage(books.ledger, ["gpu_model"])}
    assert models == {PARTITION: "32.000000", "a100-40gb": "4.800000"}
    scoped = ScopedBooks(books.ledger, EVERYTHING)
    draft = invoice_of(scoped, "nlp", MONTH)
    assert draft.due == 36_800_000
    assert [line.sums.cost for line in draft.lines if line.partition == PARTITION] == [32_000_000]
    close_period(
        books.ledger, "2026-01", MONTH.first, MONTH.last, author="root", today=date(2026, 2, 3), now=NOON
    )
    closed = invoice_of(scoped, "nlp", MONTH)
    assert (closed.closed, closed.due, closed.lines) == (True, draft.due, draft.lines)


def test_closed_days_never_change(books: Books) -> None:
    """A listing of a closed day is refused, and one after the closing leaves closed days as they are."""
    keep(books, DAY, Held("/a", "ana", TIB))
    close_period(
        books.ledger, "2026-01", MONTH.first, MONTH.last, author="root", today=date(2026, 2, 3), now=NOON
    )
    with pytest.raises(UsageError, match="closed"):
        keep(books, DAY, Held("/a", "ana", 2 * TIB))
    assert keep(books, date(2026, 2, 1), Held("/a", "ana", 28 * TIB)) == 1
    (january,) = usage(books.ledger, ["account"], MONTH.first, MONTH.last)
    assert january["storage_cost"] == "1.000000"


def test_a_new_price_charges_storage_again(books: Books) -> None:
    """Storage follows the rate card as runs do; without a price there is no line."""
    keep(books, DAY, Held("/a", "ana", TIB))
    for price, cost in ((Decimal(62), "2.000000"), (Decimal(0), "0.000000")):
        book = make_book(
            RateCard(valid_from=CARD.valid_from, gpu_hour=CARD.gpu_hour, storage_tib_month=price)
        )
        books.kinds.rater.book = book
        hold_prices(books.ledger, books.kinds, digest_of(book, load_catalog()))
        books.ledger.refresh()
        assert usage(books.ledger, ["account"])[0]["storage_cost"] == cost
    assert storage_lines(books.ledger, MONTH) == []


def test_an_unreadable_listing_takes_nothing_away(books: Books) -> None:
    """A file without one good line leaves the day's listing as it was."""
    keep(books, DAY, Held("/a", "ana", TIB))
    with pytest.raises(UsageError, match="nothing was changed"):
        keep(books, DAY)
    assert storage_lines(books.ledger, MONTH)[0]["cost"] == 1_000_000
