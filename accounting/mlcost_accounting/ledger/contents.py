"""All facts and charges of a ledger in a fixed order, without its own numbers and times of reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.dims import Dims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_accounting.ledger.store import Ledger

_DIMS = ", ".join(f"d.{name}" for name in Dims._fields)
_QUERIES = {
    "run": f"""
        SELECT c.name, r.db_index, r.submitted, r.job_id, r.raw_job_id, {_DIMS}, a.tres, r.closed, r.started,
               r.ended, r.elapsed_s, r.suspended_s, r.time_limit_s, r.node_count, r.name, r.reservation,
               r.check_sum
        FROM runs r JOIN clusters c ON c.id = r.cluster_id JOIN dims d ON d.id = r.dim_id
        JOIN allocations a ON a.id = r.allocation_id
        ORDER BY c.name, r.db_index, r.submitted
    """,  # noqa: S608
    "charge": f"""
        SELECT c.name, r.db_index, r.submitted, h.day, h.corrects, {_DIMS}, h.first, h.wall_s, h.cpu_s,
               h.gpu_s, h.node_s, h.cost, h.credit
        FROM charges h JOIN runs r ON r.id = h.run_id JOIN clusters c ON c.id = r.cluster_id
        JOIN dims d ON d.id = h.dim_id
        ORDER BY c.name, r.db_index, r.submitted, h.day, h.corrects
    """,  # noqa: S608
    "problem": """
        SELECT c.name, r.db_index, r.submitted, p.kind, p.words
        FROM problems p JOIN runs r ON r.id = p.run_id JOIN clusters c ON c.id = r.cluster_id
        ORDER BY c.name, r.db_index, r.submitted
    """,
    "day": f"""
        SELECT y.day, {_DIMS}, y.runs, y.first, y.refused, y.wall_s, y.cpu_s, y.gpu_s, y.node_s,
               y.cost, y.credit
        FROM daily y JOIN dims d ON d.id = y.dim_id ORDER BY y.day, {_DIMS}
    """,  # noqa: S608
    "reservation": "SELECT * FROM reservations ORDER BY cluster, number, started",
    "reserved": """
        SELECT day, cluster, number, account, corrects, list_price, unused, cost, why
        FROM reservation_charges ORDER BY day, cluster, number, account, corrects
    """,
    "reject": "SELECT cluster, words, why FROM rejects ORDER BY digest",
    "entry": "SELECT * FROM transactions ORDER BY id",
}  # fmt: skip


def contents(ledger: Ledger) -> Iterator[str]:
    """Yield one line of JSON for each fact, charge and daily sum."""
    for name, query in _QUERIES.items():
        for row in ledger.db.execute(query):
            yield msgspec.json.encode((name, *row)).decode()
