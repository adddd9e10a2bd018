"""All charges again under other prices; closed days stay, their differences become corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_accounting.ledger.charges import ChargeBook
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.quickrate import NO_CHARGES, quick_charges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlcost_accounting.bulk import Kinds, RatedKind
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.rating import Span

_AT_ONCE = 20_000

_RUNS = """
SELECT r.id, r.dim_id, r.started, r.elapsed_s, r.suspended_s, r.time_limit_s, r.reservation, r.seen,
       d.cluster, d.account, d.user, d.partition, d.qos, d.state, a.tres, r.node_count, d.wckey,
       d.project, d.tag
FROM runs r JOIN dims d ON d.id = r.dim_id JOIN allocations a ON a.id = r.allocation_id
WHERE r.id > ? AND r.started IS NOT NULL AND r.started + r.elapsed_s + r.suspended_s >= ? AND r.started < ?
ORDER BY r.id LIMIT ?
"""
_UPDATE = """
UPDATE charges SET dim_id = ?, cost = ?, credit = ? WHERE day = ? AND run_id = ? AND corrects = 0
"""


def rerate(
    ledger: Ledger,
    kinds: Kinds,
    *,
    since: int = 0,
    until: int = 1 << 40,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Charge runs again under the prices that hold now.

    Args:
        ledger: the ledger.
        kinds: the prices. Projects and tags stay as they were found.
        since: runs that ended before (UTC seconds) are left alone.
        until: runs that started at or after are left alone.
        on_progress: called with the number of runs done.

    Returns:
        The number of runs.
    """
    worker = _Rerate(ledger, kinds)
    done, last = 0, 0
    while rows := ledger.db.execute(_RUNS, (last, since, until, _AT_ONCE)).fetchall():
        worker.charge(rows)
        last = rows[-1][0]
        done += len(rows)
        on_progress(done)
    return done


class _Rerate:
    def __init__(self, ledger: Ledger, kinds: Kinds) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._names = Names(ledger.db)

    def charge(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Charge some runs in one transaction."""
        with self._ledger.transaction() as db:
            book = ChargeBook(db, int(self._ledger.meta("closed_through") or 0))
            kinds = self._kinds.find_all([(*row[8:17], "") for row in rows])
            held = [
                (row, kind, self._names.dims(kind.dims._replace(project=row[17], tag=row[18])))
                for row, kind in zip(rows, kinds, strict=True)
                if kind.held_anything
            ]
            plain = [entry for entry in held if not entry[0][_SUSPENDED]]
            quick = quick_charges(
                [kind for _, kind, _ in plain],
                self._kinds.rater,
                [row[_STARTED] for row, _, _ in plain],
                [row[_ELAPSED] for row, _, _ in plain],
            )
            if quick.days and min(quick.days) <= book.closed_through:
                quick = NO_CHARGES
            book.dirty |= quick.days
            db.executemany(
                _UPDATE,
                [(plain[at][2], cost, 0, day, plain[at][0][0]) for at, day, *_, cost in quick.slices],
            )
            db.executemany("DELETE FROM problems WHERE run_id = ?", [(plain[at][0][0],) for at in quick.rows])
            done = {plain[at][0][0] for at in quick.rows}
            for row, kind, dim_id in held:
                if row[0] not in done:
                    self._long_way(book, row, kind, dim_id)
            self._ledger.mark_dirty(book.dirty)

    def _long_way(self, book: ChargeBook, row: tuple[Any, ...], kind: RatedKind, dim_id: int) -> None:
        run_id, _, started, elapsed_s, suspended_s, limit_s, reservation, seen = row[:8]
        span: Span = kind.span(started, elapsed_s, suspended_s, limit_s, reservation, seen)
        days = self._kinds.rater.calendar.pieces(started, started + elapsed_s + suspended_s)
        book.set(run_id, dim_id, self._kinds.rater.rate(span), [day for day, _, _ in days])


_STARTED, _ELAPSED, _SUSPENDED = 2, 3, 4
