"""How the ledger is: how far it knows each cluster, what it could not read or charge, how big it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger


def known_until(ledger: Ledger) -> int | None:
    """Return the moment up to which every cluster is known (UTC seconds); None = nothing collected."""
    row = ledger.db.execute(
        "SELECT MIN(CAST(value AS INTEGER)) FROM meta WHERE key LIKE 'through:%'"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def clusters(ledger: Ledger) -> list[dict[str, Any]]:
    """Return each cluster with the moment up to which it is known, and its runs that have not ended."""
    return ledger.rows(
        """
        SELECT name, run_key,
               (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'through:' || name) AS through,
               (SELECT COUNT(*) FROM runs WHERE cluster_id = clusters.id AND closed = 0) AS open_runs
        FROM clusters ORDER BY name
        """
    )


def newest_rejects(ledger: Ledger, most: int) -> list[dict[str, Any]]:
    """Return pieces of answers that could not be read, the newest first."""
    return ledger.rows("SELECT * FROM rejects ORDER BY seen DESC, digest LIMIT ?", (most,))


def counts(ledger: Ledger) -> dict[str, int]:
    """Return how many runs, days, rejects and runs without a charge the ledger has."""
    names = ("runs", "daily", "rejects", "problems", "dirty_days")
    return {
        name: ledger.db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]  # noqa: S608
        for name in names
    }
