"""Runs that overlap a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger


def overlapping_runs(ledger: Ledger, cluster: str, start: int, end: int) -> list[dict[str, Any]]:
    """Return the runs of a cluster that held something within ``[start, end)`` (UTC seconds)."""
    return ledger.rows(
        "SELECT r.started, r.elapsed_s, r.suspended_s, r.closed, r.reservation, a.tres, "
        "d.account, d.state "
        "FROM runs r JOIN clusters c ON c.id = r.cluster_id JOIN allocations a ON a.id = r.allocation_id "
        "JOIN dims d ON d.id = r.dim_id "
        "WHERE c.name = ? AND r.started < ? AND r.started + r.elapsed_s + r.suspended_s > ?",
        (cluster, end, start),
    )
