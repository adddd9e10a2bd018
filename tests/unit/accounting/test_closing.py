"""A closed month never changes; what becomes known later is a correction in the open one."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime
from typing import TYPE_CHECKING

import pytest
from ledger_kit import UTC, Books, make_book, make_kinds, row
from mlcost_accounting.ledger.closing import close_period, closed_through, invoice_lines, list_invoices
from mlcost_accounting.ledger.rerate import rerate
from mlcost_accounting.ledger.transactions import Entry, add_entry, balances, void_entry
from mlcost_accounting.reports import usage

from mlcost_hpc.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

JANUARY = (date(2026, 1, 1), date(2026, 1, 31))
FEBRUARY = (date(2026, 2, 1), date(2026, 2, 28))


def moment(month: int, day: int, hour: int) -> int:
    return int(datetime(2026, month, day, hour, tzinfo=UTC).timestamp())


def run_in(month: int, day: int, hours: int = 1, **changes: object) -> str:
    start = moment(month, day, 12)
    number = month * 100 + day
    return row(
        **{
            "JobID": number, "JobIDRaw": number, "DBIndex": number, "Submit": start, "Eligible": start,
            "Start": start, "End": start + hours * 3600, "ElapsedRaw": hours * 3600,
        }
        | changes
    )  # fmt: skip


def close(books: Books, name: str, days: tuple[date, date]) -> None:
    close_period(books.ledger, name, *days, author="op", today=date(2026, 6, 1), now=0)


def months(books: Books) -> dict[str, str]:
    books.ledger.refresh()
    return {line["month"]: line["cost"] for line in usage(books.ledger, ["month"])}


def test_a_late_row_of_a_closed_month_is_charged_in_the_open_one(books: Books) -> None:
    """The invoice stays at one run; the late run's cost is posted on the first of February."""
    books.take(run_in(1, 10))
    close(books, "2026-01", JANUARY)
    books.take(run_in(1, 20))
    assert sum(line["cost"] for line in invoice_lines(books.ledger, "2026-01")) == 4_800_000
    assert months(books) == {"2026-01": "4.800000", "2026-02": "4.800000"}


def test_a_closed_run_that_shrinks_gives_money_back(books: Books) -> None:
    """A record that an operator corrects to zero after the close is a negative correction."""
    books.take(run_in(1, 10), seen=moment(1, 11, 0))
    close(books, "2026-01", JANUARY)
    books.take(run_in(1, 10, End=moment(1, 10, 12), ElapsedRaw=0), seen=moment(3, 1, 0))
    assert months(books) == {"2026-01": "4.800000", "2026-02": "-4.800000"}


def test_corrections_are_recomputed_until_their_own_month_is_closed(books: Books) -> None:
    """A correction that changes again in the open month is replaced; in a closed one it stays."""
    books.take(run_in(1, 10), seen=moment(1, 11, 0))
    close(books, "2026-01", JANUARY)
    for hours, seen in ((2, moment(2, 2, 0)), (3, moment(2, 3, 0))):
        books.take(run_in(1, 10, hours), seen=seen)
    assert months(books) == {"2026-01": "4.800000", "2026-02": "9.600000"}
    close(books, "2026-02", FEBRUARY)
    books.take(run_in(1, 10, 1, ExitCode="1:0"), seen=moment(3, 3, 0))
    assert months(books) == {"2026-01": "4.800000", "2026-02": "9.600000", "2026-03": "-9.600000"}


def test_new_prices_leave_a_closed_month_and_correct_it(make_books: Callable[..., Books]) -> None:
    """Charging again under twice the price doubles open days and posts the closed one's difference."""
    books = make_books()
    books.take(run_in(1, 10), run_in(2, 10))
    close(books, "2026-01", JANUARY)
    card = make_book().card[0]
    doubled = make_book(
        type(card)(valid_from=card.valid_from, gpu_hour={"a100-40gb": 4}, cpu_hour=card.cpu_hour * 2)  # type: ignore[dict-item]
    )
    rerate(books.ledger, make_kinds(doubled))
    assert months(books) == {"2026-01": "4.800000", "2026-02": "14.400000"}
    rerate(books.ledger, make_kinds(doubled))
    assert months(books) == {"2026-01": "4.800000", "2026-02": "14.400000"}


def test_an_invoice_cannot_be_changed(books: Books) -> None:
    """Even SQL by hand is refused on what was closed and on entries."""
    books.take(run_in(1, 10))
    close(books, "2026-01", JANUARY)
    add_entry(books.ledger, deposit(), now=0)
    for statement in (
        "UPDATE invoice_lines SET cost = 0",
        "DELETE FROM invoices",
        "UPDATE transactions SET micros = 1",
        "DELETE FROM transactions",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            books.ledger.db.execute(statement)


def test_months_are_closed_in_order_and_only_when_over(books: Books) -> None:
    """No gap, no second time, no month that is still going on."""
    books.take(run_in(1, 10), run_in(2, 10))
    with pytest.raises(LedgerError, match="2026-01-10 is still open"):
        close(books, "2026-02", FEBRUARY)
    close(books, "2026-01", JANUARY)
    with pytest.raises(UsageError, match="are closed"):
        close(books, "2026-01", JANUARY)
    with pytest.raises(UsageError, match="is not over"):
        close(books, "2026-06", (date(2026, 6, 1), date(2026, 6, 30)))
    assert closed_through(books.ledger) == date(2026, 1, 31)
    assert [line["period"] for line in list_invoices(books.ledger)] == ["2026-01"]


def test_a_run_over_the_end_of_a_closed_month_keeps_its_parts(books: Books) -> None:
    """Still running at the close, it is invoiced so far; the end adds up to the whole."""
    start = moment(1, 31, 20)
    fields = {"Start": start, "Submit": start, "Eligible": start}
    books.take(row(**fields, State="RUNNING", End="Unknown", ElapsedRaw=2 * 3600), seen=moment(1, 31, 22))
    close(books, "2026-01", JANUARY)
    books.take(row(**fields, End=start + 8 * 3600, ElapsedRaw=8 * 3600), seen=moment(2, 2, 0))
    found = months(books)
    assert found["2026-01"] == "9.600000"
    assert found["2026-02"] == "28.800000"


def deposit(micros: int = 100_000_000) -> Entry:
    return Entry(kind="DEPOSIT", account="nlp", micros=micros, day=1, reason="grant", author="op")


def test_a_balance_is_entries_less_charges(books: Books) -> None:
    """A deposit of 100 less a run of 4.80; voiding the deposit takes it back."""
    books.take(run_in(1, 10))
    number = add_entry(books.ledger, deposit(), now=0)
    assert [line["balance"] for line in balances(books.ledger)] == [95_200_000]
    void_entry(books.ledger, number, day=1, reason="typo", author="op", now=0)
    assert [line["balance"] for line in balances(books.ledger)] == [-4_800_000]
    with pytest.raises(UsageError, match="void"):
        void_entry(books.ledger, number, day=1, reason="again", author="op", now=0)


def test_no_more_is_refunded_than_was_charged(books: Books) -> None:
    """Two refunds together may not exceed the run's charge."""
    entry = Entry(
        kind="REFUND", account="nlp", micros=3_000_000, day=1, reason="broken node", author="op", run_id=1,
        charged=4_800_000,
    )  # fmt: skip
    add_entry(books.ledger, entry, now=0)
    with pytest.raises(UsageError, match="refunded already"):
        add_entry(books.ledger, entry, now=0)


@pytest.mark.parametrize("fields", [{"reason": " "}, {"author": ""}, {"micros": 0}, {"kind": "GIFT"}])
def test_an_entry_needs_all_it_says(books: Books, fields: dict[str, object]) -> None:
    """Without reason, author, amount or a known kind nothing is entered."""
    plain = {"kind": "DEPOSIT", "account": "nlp", "micros": 1, "day": 1, "reason": "r", "author": "a"}
    with pytest.raises(UsageError):
        add_entry(books.ledger, Entry(**(plain | fields)), now=0)  # type: ignore[arg-type]
