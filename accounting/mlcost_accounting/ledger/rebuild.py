"""The ledger's runs and charges again from the raw rows, as an ingest of those rows would make them.

For rows that a later release reads better, and for tables that were damaged or changed by hand. Which row is
the newest of a run, and when it was read, stays as it is known.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlcost_accounting.ledger.charges import ChargeBook
from mlcost_accounting.ledger.raw_blocks import read_block
from mlcost_accounting.ledger.runs import COLUMNS, REPLACE, RunWriter
from mlcost_accounting.ledger.store import read_ledger
from mlcost_hpc.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.ledger.raw_blocks import RawBlock
    from mlcost_accounting.ledger.store import Ledger

_STORED = """
SELECT r.raw_block, r.raw_row, r.id, r.seen, c.name FROM runs r JOIN clusters c ON c.id = r.cluster_id
ORDER BY r.raw_block, r.raw_row
"""
_CHARGES = "SELECT * FROM charges WHERE day = ? AND run_id = ? AND corrects = 0"
_CORRECTIONS = "SELECT * FROM charges WHERE run_id = ? AND corrects != 0"
_KNOWN = "SELECT 1 FROM runs WHERE cluster_id = ? AND db_index = ? AND submitted = ?"
_KEPT = 3  # check sum and what comes before it is read anew; seen, block and row stay


class _Stored(NamedTuple):
    """A run as far as its raw row does not say it."""

    block: int
    at: int
    run_id: int
    seen: int
    cluster: str


class Rebuilt(msgspec.Struct, kw_only=True):
    """What a rebuild found.

    Attributes:
        runs: runs with a raw row.
        facts: those that were not as their raw row says.
        charges: those of which only the charges were not.
        restored: runs that were missing and whose raw rows were still there.
        unreadable: why blocks were left alone, one text each.
    """

    runs: int = 0
    facts: int = 0
    charges: int = 0
    restored: int = 0
    unreadable: list[str] = msgspec.field(default_factory=list)


class _NotKept(Exception):  # noqa: N818  # not an error: it takes a transaction back
    """Takes back what a look wrote."""


def look(ledger: Ledger, kinds: Kinds, on_progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Return what :func:`rebuild` would find, and change nothing."""
    worker = _Rebuilding(ledger, kinds)
    for number, block, stored in _blocks(ledger, worker.found):
        with suppress(_NotKept), ledger.transaction():
            worker.block(number, block, stored)
            raise _NotKept
        on_progress(worker.found.runs)
    worker.found.restored = sum(len(rows) for _, _, rows in worker.lost())
    return worker.found


def rebuild(ledger: Ledger, kinds: Kinds, on_progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Make runs and charges what the raw rows say, block by block; killed at any moment, it can go on.

    Closed days stay: what differs there becomes a correction.

    Args:
        ledger: the ledger.
        kinds: the prices, and the project rules as they are now.
        on_progress: called after each block with the number of runs done.
    """
    worker = _Rebuilding(ledger, kinds)
    for number, block, stored in _blocks(ledger, worker.found):
        with ledger.transaction():
            worker.block(number, block, stored)
        on_progress(worker.found.runs)
    for block, cluster, rows in worker.lost():
        worker.restore(block, cluster, rows)
    ledger.refresh()
    return worker.found


class _Rebuilding:
    """Does the blocks.

    Attributes:
        found: what was found so far.
    """

    def __init__(self, ledger: Ledger, kinds: Kinds) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._writer = RunWriter(ledger, kinds)
        self._left: dict[int, tuple[str, list[int]]] = {}
        self.found = Rebuilt()

    def block(self, number: int, block: RawBlock, stored: list[_Stored]) -> None:
        """Do a block in the transaction that is open."""
        book = ChargeBook(self._ledger.db, int(self._ledger.meta("closed_through") or 0))
        try:
            for _, group in groupby(stored, key=lambda one: one.cluster):
                self._runs(book, block, list(group))
        except LedgerError as error:
            self.found.unreadable.append(f"block {number}: {error}")
        self._ledger.mark_dirty(book.dirty)
        self.found.runs += len(stored)
        in_use = {one.at for one in stored}
        if left := [at for at in range(len(block.rows)) if at not in in_use]:
            self._left[number] = (stored[0].cluster, left)

    def lost(self) -> Iterator[tuple[RawBlock, str, list[int]]]:
        """Yield blocks with their cluster and the rows of runs that are not in the ledger at all.

        Most rows to which no run points are older versions of a run that is there.
        """
        for number, (cluster, left) in self._left.items():
            block = read_block(self._ledger, number)
            facts = self._writer.facts(block.columns(left, cluster), block.separator)
            rows = [
                at
                for at, (fresh, _) in zip(left, facts, strict=True)
                if self._ledger.db.execute(_KNOWN, fresh[1:4]).fetchone() is None
            ]
            if rows:
                yield block, cluster, rows

    def restore(self, block: RawBlock, cluster: str, rows: list[int]) -> None:
        """Take in rows of missing runs; of several versions of one the ended one holds."""
        columns = block.columns(rows, cluster)
        counts = self._writer.write(
            columns, seen=0, names=block.names, separator=block.separator, zone=block.zone
        )
        self.found.restored += counts.new

    def _runs(self, book: ChargeBook, block: RawBlock, stored: list[_Stored]) -> None:
        columns = block.columns([one.at for one in stored], stored[0].cluster)
        facts = self._writer.facts(columns, block.separator)
        for one, (fresh, kind) in zip(stored, facts, strict=True):
            row = (one.run_id, *fresh[1:-_KEPT], one.seen, one.block, one.at)
            known = self._ledger.db.execute("SELECT * FROM runs WHERE id = ?", (one.run_id,)).fetchone()
            if known != row:
                self._ledger.db.execute(REPLACE, (*row[1:], one.run_id))
                self.found.facts += 1
            days = {*self._days(known), *self._days(row)}
            before = self._charges(one.run_id, days)
            dirty = set(book.dirty)
            book.set(one.run_id, row[_DIM], self._writer.charge(row, kind), days)
            if self._charges(one.run_id, days) == before:
                book.dirty = dirty
            elif known == row:
                self.found.charges += 1

    def _days(self, row: tuple[Any, ...]) -> Iterable[int]:
        started = row[_STARTED]
        if started is None:
            return ()
        pieces = self._kinds.rater.calendar.pieces(started, started + row[_ELAPSED] + row[_SUSPENDED])
        return [day for day, _, _ in pieces]

    def _charges(self, run_id: int, days: Iterable[int]) -> list[tuple[Any, ...]]:
        db = self._ledger.db
        rows = db.execute(_CORRECTIONS, (run_id,)).fetchall()
        rows += db.execute("SELECT * FROM problems WHERE run_id = ?", (run_id,)).fetchall()
        for day in sorted(days):
            rows += db.execute(_CHARGES, (day, run_id)).fetchall()
        return rows


def _blocks(ledger: Ledger, found: Rebuilt) -> Iterator[tuple[int, RawBlock, list[_Stored]]]:
    """Yield every block with the runs that point to it, as they were when this began."""
    with read_ledger(ledger.path) as snapshot:
        snapshot.db.execute("PRAGMA temp_store = FILE")  # millions of runs are sorted
        snapshot.db.execute("BEGIN")
        for number, group in groupby(map(_Stored._make, snapshot.db.execute(_STORED)), lambda one: one.block):
            stored = list(group)
            try:
                yield number, read_block(snapshot, number), stored
            except LedgerError as error:
                found.unreadable.append(str(error))


_DIM, _STARTED, _ELAPSED, _SUSPENDED = (
    COLUMNS.index(name) for name in ("dim_id", "started", "elapsed_s", "suspended_s")
)
