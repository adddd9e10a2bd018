"""Sums of a cluster's days for its capacity, and the list of its reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger

# With MAX() alone, SQLite takes the other columns of the same row: the newest form of the reservation.
_RESERVATIONS = """
SELECT h.cluster, h.number, r.name, h.account, MAX(r.ended) AS ended, r.nodes, h.list_price, h.unused, h.cost,
       h.why, (SELECT MIN(started) FROM reservations b WHERE b.cluster = h.cluster AND b.number = h.number)
       AS started
FROM (
    SELECT cluster, number, account, SUM(list_price) AS list_price, SUM(unused) AS unused,
           SUM(COALESCE(cost, 0)) AS cost, MAX(why) AS why
    FROM reservation_charges WHERE day BETWEEN ? AND ? GROUP BY cluster, number, account
) h JOIN reservations r ON r.cluster = h.cluster AND r.number = h.number
GROUP BY h.cluster, h.number, h.account ORDER BY started, h.cluster, h.number, h.account
"""


def charged_by_account(ledger: Ledger, cluster: str, first: int, last: int) -> dict[str, int]:
    """Return account -> micros charged on days (numbers, both included), of accounts with any charge."""
    return dict(
        ledger.db.execute(
            "SELECT d.account, SUM(y.cost) FROM daily y JOIN dims d ON d.id = y.dim_id "
            "WHERE d.cluster = ? AND y.day BETWEEN ? AND ? GROUP BY d.account HAVING SUM(y.cost) != 0 "
            "ORDER BY d.account",
            (cluster, first, last),
        ).fetchall()
    )


def reserved_unpaid(ledger: Ledger, cluster: str, first: int, last: int) -> int:
    """Return the micros of reserved time that neither a job nor a holder paid."""
    row = ledger.db.execute(
        "SELECT COALESCE(SUM(unused - COALESCE(cost, 0)), 0) FROM reservation_charges "
        "WHERE cluster = ? AND day BETWEEN ? AND ?",
        (cluster, first, last),
    ).fetchone()
    return int(row[0])


def refused_reservations(ledger: Ledger) -> list[dict[str, Any]]:
    """Return why reservations are not charged (``words``), each reason with how many it holds (``count``)."""
    return ledger.rows(
        "SELECT why AS words, COUNT(DISTINCT cluster || '/' || number) AS count FROM reservation_charges "
        "WHERE cost IS NULL GROUP BY why ORDER BY 2 DESC, 1"
    )


def clusters_with_nodes(ledger: Ledger) -> list[str]:
    """Return the clusters that told of their nodes."""
    return [row[0] for row in ledger.db.execute("SELECT DISTINCT cluster FROM memberships ORDER BY cluster")]


def reservation_lines(ledger: Ledger, first: int, last: int) -> list[dict[str, Any]]:
    """Return what reservations cost on days (numbers, both included), one row a reservation and holder.

    Returns:
        Rows with ``cluster``, ``number``, ``name``, ``account``, ``started``, ``ended`` (UTC seconds),
        ``nodes``, ``list_price``, ``unused``, ``cost`` (micros; ``cost`` is what is charged so far) and
        ``why`` it is not charged.
    """
    return ledger.rows(_RESERVATIONS, (first, last))
