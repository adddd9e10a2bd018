"""The newest comparison with Slurm's own sums of each cluster, kept for the operator's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.reconcile import Comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.ledger.store import Ledger


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison found.

    Attributes:
        cluster: the cluster.
        at: when it was made, UTC seconds.
        first, until: the window compared, UTC seconds.
        lines: its lines, those without a difference among them.
    """

    cluster: str
    at: int
    first: int
    until: int
    lines: tuple[Comparison, ...]

    @property
    def differences(self) -> list[Comparison]:
        """The lines with a difference, the largest first."""
        return sorted(
            (line for line in self.lines if line.difference_s), key=lambda line: -abs(line.difference_s)
        )


def keep_reconciliation(
    ledger: Ledger, cluster: str, start: int, end: int, lines: Sequence[Comparison], now: int
) -> None:
    """Keep what a comparison found, in place of the cluster's one before."""
    with ledger.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO reconciliations VALUES (?, ?, ?, ?, ?)",
            (cluster, now, start, end, msgspec.json.encode(lines).decode()),
        )


def reconciliations(ledger: Ledger) -> list[Reconciliation]:
    """Return the newest comparison of each cluster; nothing where none was ever made."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'reconciliations'"
    # Pages open the ledger for reading: one that an older version wrote has no such table yet.
    if not ledger.rows(known):
        return []
    return [
        Reconciliation(**row | {"lines": msgspec.json.decode(row["lines"], type=tuple[Comparison, ...])})
        for row in ledger.rows("SELECT * FROM reconciliations ORDER BY cluster")
    ]
