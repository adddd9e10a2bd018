"""Storage in the ledger: listings, whose they are, and their charges, which the daily sums take in."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from mlcost_accounting.dims import Dims
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.storage import PARTITION, STATE, UNKNOWN_OWNER, cost_of_day, days_of_listings
from mlcost_hpc.errors import RateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from decimal import Decimal

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.periods import Period
    from mlcost_accounting.storage import Held
    from mlcost_hpc.rates import RateBook

_ACCOUNT_OF_USER = """
SELECT account FROM dims JOIN daily ON dims.id = dim_id WHERE user = ? AND state != ? AND day <= ?
GROUP BY account ORDER BY SUM(first) DESC, account LIMIT 1
"""
_IS_ACCOUNT = """
SELECT EXISTS (SELECT 1 FROM accounts WHERE account = ?1)
    OR EXISTS (SELECT 1 FROM dims WHERE account = ?1 AND state != ?2)
"""


def keep_listing(
    ledger: Ledger, day: date, lines: Sequence[Held], project_of: Callable[[str], str], book: RateBook | None
) -> int:
    """Keep a day's listing, in place of the one it had, and charge storage; return the days that changed.

    An owner who ran jobs belongs to the account of most of them up to that day; an owner who is an account
    is that account; any other belongs to :data:`~mlcost_accounting.storage.UNKNOWN_OWNER`. What is in the
    ledger already for the same path and owner keeps its account, so that the same listing changes nothing.

    Args:
        ledger: the ledger, its daily sums computed.
        day: the day the listing is of.
        lines: its lines.
        project_of: account -> project.
        book: the prices; None = nothing is charged.

    Raises:
        UsageError: when the day is closed, or nothing is listed.
    """
    if not lines:
        raise UsageError("no line of the listing could be read: nothing was changed")
    number, closed = day.toordinal(), _closed_through(ledger)
    if number <= closed:
        raise UsageError(
            f"days through {date.fromordinal(closed)} are closed: {day} takes no listing any more"
        )
    with ledger.transaction() as db:
        kept = {
            (path, owner): account
            for path, owner, account in db.execute(
                "SELECT path, owner, account FROM storage WHERE day = ? AND account != ?",
                (number, UNKNOWN_OWNER),
            )
        }
        accounts = {owner: _account_of(ledger, owner, number) for owner in {line.owner for line in lines}}
        db.execute("DELETE FROM storage WHERE day = ?", (number,))
        for line in lines:
            account = kept.get((line.path, line.owner), accounts[line.owner])
            db.execute(
                "INSERT INTO storage (day, path, owner, bytes, account, project) VALUES (?, ?, ?, ?, ?, ?)",
                (number, line.path, line.owner, line.bytes, account, project_of(account)),
            )
        return charge_storage(ledger, book)


def charge_storage(ledger: Ledger, book: RateBook | None) -> int:
    """Charge storage again on all open days, and return how many changed; belongs in a transaction."""
    closed = _closed_through(ledger)
    now = _charges(ledger, book, closed)
    before = {
        (day, dim): (held, cost)
        for day, dim, held, cost in ledger.db.execute(
            "SELECT day, dim_id, bytes, cost FROM storage_charges WHERE day > ?", (closed,)
        )
    }
    changed = {key for key in now.keys() | before.keys() if now.get(key) != before.get(key)}
    ledger.db.executemany("DELETE FROM storage_charges WHERE day = ? AND dim_id = ?", changed)
    ledger.db.executemany(
        "INSERT INTO storage_charges VALUES (?, ?, ?, ?)",
        [(*key, *now[key]) for key in sorted(changed & now.keys())],
    )
    days = {day for day, _ in changed}
    ledger.mark_dirty(days)
    return len(days)


def storage_lines(ledger: Ledger, period: Period, accounts: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return the storage charged in a period, by account, project and owner.

    Args:
        ledger: the ledger.
        period: the period.
        accounts: only these; none = all.

    Returns:
        Rows with ``account``, ``project``, ``owner``, ``days``, ``byte_days`` and ``cost`` (micros).
    """
    wanted = set(accounts)
    sums: dict[tuple[str, str, str], list[int]] = {}
    # Byte-days of a large site do not fit SQLite's integers.
    for account, project, owner, held, cost in ledger.db.execute(
        "SELECT account, project, user, bytes, cost FROM storage_charges JOIN dims ON dims.id = dim_id "
        "WHERE day BETWEEN ? AND ?",
        (period.first.toordinal(), period.last.toordinal()),
    ):
        if wanted and account not in wanted:
            continue
        line = sums.setdefault((account, project, owner), [0, 0, 0])
        line[:] = line[0] + 1, line[1] + held, line[2] + cost
    return [
        {
            "account": account, "project": project, "owner": owner,
            "days": days, "byte_days": byte_days, "cost": cost,
        }
        for (account, project, owner), (days, byte_days, cost) in sorted(sums.items())
    ]  # fmt: skip


def _charges(ledger: Ledger, book: RateBook | None, closed: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Return (day, dimensions) -> (bytes, micros) of the open days that have a price."""
    listings = [row[0] for row in ledger.db.execute("SELECT DISTINCT day FROM storage ORDER BY day")]
    names = Names(ledger.db)
    held_at: dict[int, dict[int, int]] = {}
    found = {}
    for day, listing in days_of_listings(listings):
        price = _price_at(book, date.fromordinal(day))
        if day <= closed or not price:
            continue
        if listing not in held_at:
            held_at[listing] = _held_at(ledger, names, listing)
        for dim, held in held_at[listing].items():
            found[day, dim] = (held, cost_of_day(held, price, date.fromordinal(day)))
    return found


def _held_at(ledger: Ledger, names: Names, listing: int) -> dict[int, int]:
    held: dict[int, int] = {}
    for account, project, owner, amount in ledger.db.execute(
        "SELECT account, project, owner, bytes FROM storage WHERE day = ?", (listing,)
    ):
        # Named wherever reports group, so that storage is not taken for runs without GPUs.
        dim = names.dims(
            Dims(
                cluster="", account=account, user=owner, partition=PARTITION, qos=PARTITION,
                gpu_model=PARTITION,
                state=STATE, project=project, pool="", wckey="", tag="",
            )
        )  # fmt: skip
        held[dim] = held.get(dim, 0) + amount
    return held


def _price_at(book: RateBook | None, day: date) -> Decimal | None:
    try:
        return book.card_at(day).storage_tib_month if book else None
    except RateError:
        return None


def _account_of(ledger: Ledger, owner: str, day: int) -> str:
    row = ledger.db.execute(_ACCOUNT_OF_USER, (owner, STATE, day)).fetchone()
    if row is not None:
        return str(row[0])
    return owner if ledger.db.execute(_IS_ACCOUNT, (owner, STATE)).fetchone()[0] else UNKNOWN_OWNER


def _closed_through(ledger: Ledger) -> int:
    return int(ledger.meta("closed_through") or 0)
