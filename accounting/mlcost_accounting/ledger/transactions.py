"""Money that moves without a run: deposits, charges, refunds, pullbacks; each entry is kept for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.money import format_money

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger

SIGNS = {"DEPOSIT": 1, "REFUND": 1, "CHARGE": -1, "PULLBACK": -1}
"""Kind of entry -> its effect on the balance. VOID takes the effect of another entry back."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to write.

    Attributes:
        kind: a key of :data:`SIGNS`.
        account: whose balance changes.
        micros: how much, above zero.
        day: day number on which it counts.
        reason: why; people will ask.
        author: who entered it.
        run_id: the run it is about, for a refund.
        charged: what that run was charged, micros; no more is given back.
    """

    kind: str
    account: str
    micros: int
    day: int
    reason: str
    author: str
    run_id: int | None = None
    charged: int = 0


def add_entry(ledger: Ledger, entry: Entry, now: int) -> int:
    """Write an entry and return its number.

    Raises:
        UsageError: when something of it is missing, or a run would be refunded more than it cost.
    """
    if entry.kind not in SIGNS:
        raise UsageError(f"{entry.kind!r} is no entry: take {', '.join(SIGNS)}")
    if entry.micros <= 0:
        raise UsageError("an amount must be above zero; its kind says which way it goes")
    if not entry.reason.strip() or not entry.author.strip():
        raise UsageError("an entry needs a reason and an author")
    with ledger.transaction() as db:
        if entry.kind == "REFUND" and entry.run_id is not None:
            _check_refund(ledger, entry)
        number = db.execute(
            "INSERT INTO transactions (kind, account, day, micros, run_id, reason, author, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.kind, entry.account, entry.day, SIGNS[entry.kind] * entry.micros, entry.run_id,
                entry.reason, entry.author, now,
            ),
        ).lastrowid  # fmt: skip
    return int(number or 0)


def void_entry(ledger: Ledger, number: int, *, day: int, reason: str, author: str, now: int) -> int:
    """Take an entry back by one that undoes it, and return that one's number.

    Raises:
        UsageError: when there is no such entry, or it was taken back already, or is such an entry itself.
    """
    if not reason.strip() or not author.strip():
        raise UsageError("an entry needs a reason and an author")
    with ledger.transaction() as db:
        row = db.execute("SELECT kind, account, micros FROM transactions WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise UsageError(f"there is no entry {number}")
        kind, account, micros = row
        if kind == "VOID" or db.execute("SELECT 1 FROM transactions WHERE voids = ?", (number,)).fetchone():
            raise UsageError(f"entry {number} is void, or voids another")
        done = db.execute(
            "INSERT INTO transactions (kind, account, day, micros, voids, reason, author, created) "
            "VALUES ('VOID', ?, ?, ?, ?, ?, ?, ?)",
            (account, day, -micros, number, reason, author, now),
        ).lastrowid
    return int(done or 0)


def list_entries(ledger: Ledger, account: str | None = None) -> list[dict[str, Any]]:
    """Return entries, oldest first."""
    return ledger.rows(
        "SELECT * FROM transactions WHERE ? IS NULL OR account = ? ORDER BY id", (account, account)
    )


def balances(ledger: Ledger) -> list[dict[str, Any]]:
    """Return each account's ``entered`` (all entries), ``charged`` (runs) and ``balance``, in micros."""
    return ledger.rows(
        """
        SELECT account, SUM(entered) AS entered, SUM(charged) AS charged,
               SUM(entered) - SUM(charged) AS balance
        FROM (
            SELECT account, micros AS entered, 0 AS charged FROM transactions
            UNION ALL
            SELECT account, 0, SUM(cost) FROM daily JOIN dims ON dims.id = dim_id GROUP BY account
        ) GROUP BY account ORDER BY account
        """
    )


def _check_refund(ledger: Ledger, entry: Entry) -> None:
    """Refuse to give back more for a run than it was charged."""
    given = ledger.db.execute(
        "SELECT COALESCE(SUM(micros), 0) FROM transactions WHERE run_id = ? OR voids IN "
        "(SELECT id FROM transactions WHERE run_id = ?)",
        (entry.run_id, entry.run_id),
    ).fetchone()[0]
    if entry.micros > entry.charged - given:
        charged, before = format_money(entry.charged), format_money(given)
        raise UsageError(f"the run was charged {charged}, {before} of it was refunded already")
