"""The tree of accounts, as the clusters tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_accounting.ledger.store import Ledger


def keep_accounts(ledger: Ledger, cluster: str, parents: Mapping[str, str]) -> None:
    """Keep a cluster's accounts; those it no longer names stay, for they may have been charged."""
    with ledger.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
            [(cluster, account, parent) for account, parent in sorted(parents.items())],
        )


def account_parents(ledger: Ledger) -> dict[str, str]:
    """Return account -> the account above it (empty = at the top), over all clusters."""
    rows = ledger.db.execute("SELECT account, parent FROM accounts ORDER BY cluster DESC")
    return {row[0]: row[1] for row in rows}
