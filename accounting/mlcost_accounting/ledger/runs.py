"""Runs into the ledger: each under its key once, the newest version of it kept, its charges with it."""

from __future__ import annotations

import zlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import zstandard

from mlcost_accounting.charge import OPEN_STATES, Charge
from mlcost_accounting.ledger.charges import ChargeBook
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.quickrate import quick_charges
from mlcost_hpc.slurm.repeated import Repeated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlcost_accounting.bulk import Kinds, RatedKind
    from mlcost_accounting.calendar import Integers
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.sacct_columns import RunColumns

COLUMNS = (
    "id", "cluster_id", "db_index", "submitted", "job_id", "raw_job_id", "dim_id", "allocation_id", "closed",
    "started", "ended", "elapsed_s", "suspended_s", "time_limit_s", "node_count", "name", "reservation",
    "check_sum", "seen", "raw_block", "raw_row",
)  # fmt: skip
_INSERT = f"INSERT OR IGNORE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
REPLACE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])} WHERE id = ?"  # noqa: S608
_FIND = """
SELECT id, closed, seen, check_sum, started, elapsed_s + suspended_s, raw_block FROM runs
WHERE cluster_id = ? AND db_index = ? AND submitted = ?
"""


class Counts(msgspec.Struct, kw_only=True):
    """What became of rows: new runs, changed ones, and those the ledger knew already."""

    new: int = 0
    changed: int = 0
    known: int = 0

    def add(self, other: Counts) -> None:
        """Add other counts to these."""
        self.new += other.new
        self.changed += other.changed
        self.known += other.known


class _Batch(NamedTuple):
    """Rows to write, as the columns of the table, and the kind of each."""

    columns: tuple[Sequence[Any] | Repeated[Any], ...]
    kinds: Repeated[RatedKind]

    def row(self, at: int) -> tuple[Any, ...]:
        """Return one row."""
        return tuple(column[at] for column in self.columns)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows."""
        return zip(*self.columns, strict=True)

    def numbers(self, column: int) -> Integers:
        """Return a column of whole numbers."""
        values = self.columns[column]
        return values.numbers(int) if isinstance(values, Repeated) else np.array(values, dtype=np.int64)


class RunWriter:
    """Writes accounting rows; the same rows again, in any order, change nothing.

    Of two versions of a run the ended one holds, else the one read later; at the same moment the larger
    check sum, so that the outcome does not depend on the order.

    Args:
        ledger: where to.
        kinds: how runs are rated.
    """

    def __init__(self, ledger: Ledger, kinds: Kinds) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._calendar = kinds.rater.calendar
        self._names = Names(ledger.db)
        self._packer = zstandard.ZstdCompressor(level=1)

    def write(
        self, columns: RunColumns, *, seen: int, names: Sequence[str], separator: str, zone: str = ""
    ) -> Counts:
        """Write rows in one transaction.

        Args:
            columns: the rows.
            seen: when they were read (UTC seconds).
            names: fields of their raw text.
            separator: what stands between those.
            zone: time zone of dates among those; empty = UTC.

        Raises:
            UsageError: when their cluster is keyed otherwise in this ledger.
        """
        if not columns.raw:
            return Counts()
        try:
            with self._ledger.transaction() as db:
                closed_through = int(self._ledger.meta("closed_through") or 0)
                book = ChargeBook(db, closed_through)
                block = self._next_id("raw_blocks")
                data = "\0".join(columns.raw).encode()
                batch = self._batch(columns, self._next_id("runs"), block, seen, data, separator)
                db.execute("SAVEPOINT quick")
                if db.executemany(_INSERT, batch.rows()).rowcount == len(columns):
                    self._charge_new(batch, book)
                    self._keep_raw(block, len(columns), data, names, separator, zone)
                    counts = Counts(new=len(columns))
                else:
                    db.execute("ROLLBACK TO quick")
                    counts, kept, unused = self._merge(batch, book, columns.raw)
                    if kept:
                        data = "\0".join(kept).encode()
                        self._keep_raw(block, len(kept) - unused, data, names, separator, zone)
                self._ledger.mark_dirty(book.dirty)
        except BaseException:
            self._names.forget()
            raise
        return counts

    def _next_id(self, table: str) -> int:
        found = self._ledger.db.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")  # noqa: S608
        return int(found.fetchone()[0])

    def _keep_raw(
        self, block: int, used: int, data: bytes, names: Sequence[str], separator: str, zone: str
    ) -> None:
        packed = self._packer.compress(data)
        self._ledger.db.execute(
            "INSERT INTO raw_blocks (id, used, names, separator, data, zone) VALUES (?, ?, ?, ?, ?, ?)",
            (block, used, ",".join(names), separator, packed, zone),
        )

    def _drop_raw(self, block: int) -> None:
        """Note that a row of a block was replaced; a block without any row in use goes."""
        db = self._ledger.db
        db.execute("UPDATE raw_blocks SET used = used - 1 WHERE id = ?", (block,))
        db.execute("DELETE FROM raw_blocks WHERE id = ? AND used = 0", (block,))

    def _batch(
        self, columns: RunColumns, first_id: int, block: int, seen: int, data: bytes, separator: str
    ) -> _Batch:
        """Return rows as the table takes them; ``data`` is their raw text, a NUL between two."""
        keyed = any(columns.db_index)
        run_key = "dbindex" if keyed else "jobid"
        kinds = self._kinds.rated(
            [columns.partition, columns.qos, columns.state, columns.allocated, columns.node_count]
        )
        dims = self._kinds.dims(columns, kinds)
        closed = columns.state.map(lambda state: int(state not in OPEN_STATES))
        size = len(columns)
        return _Batch(
            (
                range(first_id, first_id + size),
                columns.cluster.map(lambda name: self._names.cluster(name, run_key)),
                columns.db_index if keyed else _keys_without_index(columns),
                [moment or 0 for moment in columns.submitted],
                columns.job_id,
                columns.raw_job_id,
                dims.map(self._names.dims),
                columns.allocated.map(self._names.allocation),
                closed,
                columns.started,
                [end if shut else None for end, shut in zip(columns.ended, closed, strict=True)],
                columns.elapsed_s,
                columns.suspended_s,
                columns.time_limit_s,
                columns.node_count,
                columns.name,
                columns.reservation,
                _check_sums(data, separator),
                Repeated.constant(seen, size),
                Repeated.constant(block, size),
                range(size),
            ),
            kinds,
        )

    def _charge_new(self, batch: _Batch, book: ChargeBook) -> None:
        """Write the charges of runs that are all new."""
        started = np.array([_NEVER if at is None else at for at in batch.columns[_STARTED]], dtype=np.int64)
        left = (started != _NEVER) & (batch.kinds.numbers(attrgetter("held_anything")) == 1)
        plain = np.flatnonzero(left & (batch.numbers(_SUSPENDED) == 0))
        quick = quick_charges(
            batch.kinds.take(plain),
            self._kinds.rater,
            started[plain],
            batch.numbers(_ELAPSED)[plain],
            book.closed_through,
        )
        book.add(quick, batch.numbers(_ID)[plain], batch.numbers(_DIM)[plain])
        left[plain[quick.charged]] = False
        for at in np.flatnonzero(left).tolist():
            row = batch.row(at)
            book.set(row[_ID], row[_DIM], self.charge(row, batch.kinds[at]), ())

    def _merge(self, batch: _Batch, book: ChargeBook, raw: Sequence[str]) -> tuple[Counts, list[str], int]:
        """Write rows of which the ledger may know some.

        Returns:
            What became of them, the raw rows to keep, and how many of those a later one of them replaced.
        """
        db, counts = self._ledger.db, Counts()
        kept: list[str] = []
        unused = 0
        for position, (row, kind) in enumerate(zip(batch.rows(), batch.kinds, strict=True)):
            known = db.execute(_FIND, row[1:4]).fetchone()
            if known is None:
                db.execute(_INSERT, (*row[:-1], len(kept)))
                book.set(row[0], row[_DIM], self.charge(row, kind), ())
                kept.append(raw[position])
                counts.new += 1
                continue
            run_id, closed, seen, check_sum, started, held_s, block = known
            version = (row[_CLOSED], row[_SEEN], row[_CHECK])
            if version <= (closed, seen, check_sum):
                counts.known += 1
                continue
            if row[_CHECK] == check_sum:
                db.execute("UPDATE runs SET seen = ? WHERE id = ?", (row[_SEEN], run_id))
                counts.known += 1
            else:
                db.execute(REPLACE, (*row[1:-1], len(kept), run_id))
                if block == row[_BLOCK]:
                    unused += 1
                else:
                    self._drop_raw(block)
                kept.append(raw[position])
                counts.changed += 1
            # A record that is still open is judged anew at every reading: it may have become a runaway.
            if row[_CHECK] != check_sum or not closed:
                book.set(run_id, row[_DIM], self.charge(row, kind), self._days(started, held_s))
        return counts, kept, unused

    def facts(self, columns: RunColumns, separator: str) -> Iterator[tuple[tuple[Any, ...], RatedKind]]:
        """Yield rows as the table has them, each with its kind; its own numbers, block and time are zero."""
        batch = self._batch(columns, 0, 0, 0, "\0".join(columns.raw).encode(), separator)
        return zip(batch.rows(), batch.kinds, strict=True)

    def charge(self, row: tuple[Any, ...], kind: RatedKind) -> Charge:
        """Return what a row of the table is charged."""
        if row[_STARTED] is None:
            return Charge((), None)
        return self._kinds.rater.rate(
            kind.span(
                row[_STARTED], row[_ELAPSED], row[_SUSPENDED], row[_LIMIT], row[_RESERVATION], row[_SEEN]
            )
        )

    def _days(self, started: int | None, held_s: int) -> Iterable[int]:
        if started is None:
            return ()
        return [day for day, _, _ in self._calendar.pieces(started, started + held_s)]


def _check_sums(data: bytes, separator: str) -> list[int]:
    """Return a check sum of each row that does not depend on the separator, which may be random."""
    if separator != "\x1f":
        data = data.replace(separator.encode(), b"\x1f")
    rows = data.split(b"\0")
    return [sum_ | size << 32 for sum_, size in zip(map(zlib.crc32, rows), map(len, rows), strict=True)]


def _keys_without_index(columns: RunColumns) -> list[str]:
    """Return the keys of rows without DBIndex: the job, and for a resized job's earlier rows their start."""
    return [
        f"job-{job}-resized-{started}" if state == "RESIZING" else f"job-{job}"
        for job, state, started in zip(columns.raw_job_id, columns.state, columns.started, strict=True)
    ]


_NEVER = -1
_ID = COLUMNS.index("id")
_DIM = COLUMNS.index("dim_id")
_CLOSED = COLUMNS.index("closed")
_STARTED = COLUMNS.index("started")
_ELAPSED = COLUMNS.index("elapsed_s")
_SUSPENDED = COLUMNS.index("suspended_s")
_LIMIT = COLUMNS.index("time_limit_s")
_RESERVATION = COLUMNS.index("reservation")
_CHECK = COLUMNS.index("check_sum")
_BLOCK = COLUMNS.index("raw_block")
_SEEN = COLUMNS.index("seen")
