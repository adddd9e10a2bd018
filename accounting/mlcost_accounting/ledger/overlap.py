"""Runs that overlap a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def first_start(ledger: Ledger, cluster: str) -> int | None:
    """Return when the oldest run of a cluster began, UTC seconds; None = there is none."""
    (found,) = ledger.db.execute(
        "SELECT MIN(r.started) FROM runs r JOIN clusters c ON c.id = r.cluster_id WHERE c.name = ?",
        (cluster,),
    ).fetchone()
    return None if found is None else int(found)


def runs_of_users(ledger: Ledger, cluster: str, start: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield the runs of a cluster that held something within ``[start, end)``, and all that are open.

    One at a time: the span may be the ledger's whole.
    """
    rows = ledger.db.execute(
        "SELECT d.account, d.user, d.qos, a.tres, r.started, r.elapsed_s, r.suspended_s, r.closed "
        "FROM runs r JOIN clusters c ON c.id = r.cluster_id JOIN allocations a ON a.id = r.allocation_id "
        "JOIN dims d ON d.id = r.dim_id WHERE c.name = ? AND r.started < ? "
        "AND (r.started + r.elapsed_s + r.suspended_s > ? OR NOT r.closed)",
        (cluster, end, start),
    )
    names = [column[0] for column in rows.description]
    for row in rows:
        yield dict(zip(names, row, strict=True))
