"""Pieces of answers that could not be read: kept once each, counted, shown."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.api import Reject

_KEEP = """
INSERT INTO rejects VALUES (?, ?, ?, ?, ?, 1)
ON CONFLICT (digest) DO UPDATE SET times = times + 1, seen = MAX(seen, excluded.seen)
"""


def keep_rejects(
    ledger: Ledger, rejects: Iterable[Reject], *, cluster: str, seen: int, separator: str
) -> None:
    """Keep rejects in one transaction."""
    rows = []
    for reject in rejects:
        text = reject.text.replace(separator, "\x1f")
        digest = blake2b(f"{cluster}\0{text}".encode(), digest_size=16).hexdigest()
        rows.append((digest, cluster, text, reject.why, seen))
    if rows:
        with ledger.transaction() as db:
            db.executemany(_KEEP, rows)


def list_rejects(ledger: Ledger) -> list[dict[str, Any]]:
    """Return all rejects, the newest first."""
    return ledger.rows("SELECT * FROM rejects ORDER BY seen DESC, digest")
