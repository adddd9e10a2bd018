"""All charges again under other prices; closed days stay, their differences become corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcost_accounting.ledger.charges import ChargeBook
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.quickrate import quick_charges
from mlcost_hpc.slurm.repeated import Repeated, together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlcost_accounting.bulk import Kinds, RatedKind
    from mlcost_accounting.charge import Span
    from mlcost_accounting.ledger.store import Ledger

_AT_ONCE = 20_000

_RUNS = """
SELECT r.id, r.dim_id, r.started, r.elapsed_s, r.suspended_s, r.time_limit_s, r.reservation, r.seen,
       d.partition, d.qos, d.state, a.tres, r.node_count
FROM runs r JOIN dims d ON d.id = r.dim_id JOIN allocations a ON a.id = r.allocation_id
WHERE r.id > ? AND r.started IS NOT NULL AND r.started + r.elapsed_s + r.suspended_s >= ? AND r.started < ?
      AND a.tres != ''
ORDER BY r.id LIMIT ?
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
            columns = list(zip(*rows, strict=True))
            run_ids, started, elapsed, suspended = (
                np.array(columns[at], dtype=np.int64) for at in (0, 2, 3, 4)
            )
            kinds = self._kinds.rated([Repeated.of(column) for column in columns[8:]])
            dims = together([Repeated.of(columns[1]), kinds]).map(self._moved).numbers(int)
            plain = np.flatnonzero(suspended == 0)
            quick = quick_charges(
                kinds.take(plain), self._kinds.rater, started[plain], elapsed[plain], book.closed_through
            )
            book.reprice(quick, run_ids[plain], dims[plain])
            left = np.ones(len(rows), dtype=np.bool_)
            left[plain[quick.charged]] = False
            for at in np.flatnonzero(left).tolist():
                self._long_way(book, rows[at], kinds[at], int(dims[at]))
            self._ledger.mark_dirty(book.dirty)

    def _moved(self, of: tuple[int, RatedKind]) -> int:
        """Return the dimensions of a run that had others under the prices before."""
        dim_id, kind = of
        dims = self._names.dims_of(dim_id)
        return self._names.dims(dims._replace(gpu_model=kind.place.gpu_model, pool=kind.place.pool))

    def _long_way(self, book: ChargeBook, row: tuple[Any, ...], kind: RatedKind, dim_id: int) -> None:
        run_id, _, started, elapsed_s, suspended_s, limit_s, reservation, seen = row[:8]
        span: Span = kind.span(started, elapsed_s, suspended_s, limit_s, reservation, seen)
        days = self._kinds.rater.calendar.pieces(started, started + elapsed_s + suspended_s)
        book.set(run_id, dim_id, self._kinds.rater.rate(span), [day for day, _, _ in days])
