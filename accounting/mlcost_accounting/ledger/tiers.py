"""Spend tiers over the daily sums: from the first changed day to the end of what is known."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.dims import Dims
from mlcost_accounting.spend import Tiers, spread

if TYPE_CHECKING:
    import sqlite3

    from mlcost_hpc.rates import RateBook

_ORDER = ", ".join(f"d.{name}" for name in Dims._fields)
_DAYS = f"""
SELECT y.day, d.account, y.dim_id, y.cost + y.tier_credit FROM daily y JOIN dims d ON d.id = y.dim_id
WHERE y.day >= ? ORDER BY y.day, {_ORDER}
"""  # noqa: S608
_BEFORE = """
SELECT d.account, SUM(y.cost + y.tier_credit) FROM daily y JOIN dims d ON d.id = y.dim_id
WHERE y.day >= ? AND y.day < ? GROUP BY d.account
"""


def tiers_text(book: RateBook) -> str:
    """Return a book's tiers as the ledger keeps them; empty when it has none."""
    if not book.tier:
        return ""
    return msgspec.json.encode(Tiers(tier=book.tier, begins=book.fiscal_year_begins)).decode()


def apply_tiers(db: sqlite3.Connection, text: str | None, first: int, closed_through: int) -> None:
    """Work out again what tiers take off; days of closed periods stay as they are.

    Args:
        db: the ledger, in a transaction.
        text: :func:`tiers_text`; empty = the site has none.
        first: first day that changed.
        closed_through: last closed day.
    """
    if not text:
        return
    tiers = msgspec.json.decode(text, type=Tiers)
    year = tiers.year_begins(first)
    spent: dict[str, int] = dict(db.execute(_BEFORE, (year, first)).fetchall())
    rows = db.execute(_DAYS, (first,)).fetchall()
    for (day, account), group in groupby(rows, key=lambda row: (row[0], row[1])):
        if tiers.year_begins(day) != year:
            year = tiers.year_begins(day)
            spent = {}
        lines = list(group)
        before = spent.get(account, 0)
        after = before + sum(line[3] for line in lines)
        spent[account] = after
        if day <= closed_through:
            continue
        off = tiers.discount(after) - tiers.discount(before)
        parts = spread(off, [abs(line[3]) for line in lines])
        db.executemany(
            "UPDATE daily SET cost = ?, tier_credit = ? WHERE day = ? AND dim_id = ?",
            [(line[3] - part, part, day, line[2]) for line, part in zip(lines, parts, strict=True)],
        )
