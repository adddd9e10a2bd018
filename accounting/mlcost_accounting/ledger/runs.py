"""Runs into the ledger: each under its key once, the newest version of it kept, its charges with it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from mlcost_accounting.ledger.charges import INSERT as INSERT_CHARGE
from mlcost_accounting.ledger.charges import ChargeBook
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.quickrate import NO_CHARGES, quick_charges
from mlcost_accounting.rating import OPEN_STATES, Charge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlcost_accounting.bulk import Kinds, RatedKind
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.sacct_columns import RunColumns

_COLUMNS = (
    "id", "cluster_id", "db_index", "submitted", "job_id", "raw_job_id", "dim_id", "allocation_id", "closed",
    "started", "ended", "elapsed_s", "suspended_s", "time_limit_s", "node_count", "name", "reservation",
    "check_sum", "seen", "raw_block", "raw_row",
)  # fmt: skip
_INSERT = f"INSERT OR IGNORE INTO runs VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_REPLACE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _COLUMNS[1:])} WHERE id = ?"  # noqa: S608
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
        self._numbers: dict[RatedKind, tuple[int, int, int]] = {}
        self._packer = zstandard.ZstdCompressor(level=1)

    def write(self, columns: RunColumns, *, seen: int, names: Sequence[str], separator: str) -> Counts:
        """Write rows in one transaction.

        Args:
            columns: the rows.
            seen: when they were read (UTC seconds).
            names: fields of their raw text.
            separator: what stands between those.

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
                rows, kinds = self._rows(columns, self._next_id("runs"), seen, separator, block)
                db.execute("SAVEPOINT quick")
                if db.executemany(_INSERT, rows).rowcount == len(rows):
                    self._charge_new(rows, kinds, book)
                    counts, kept, unused = Counts(new=len(rows)), columns.raw, 0
                else:
                    db.execute("ROLLBACK TO quick")
                    counts, kept, unused = self._merge(rows, kinds, book, columns.raw)
                if kept:
                    self._keep_raw(block, len(kept) - unused, kept, names, separator)
                self._ledger.mark_dirty(book.dirty)
        except BaseException:
            self._names.forget()
            self._numbers.clear()
            raise
        return counts

    def _next_id(self, table: str) -> int:
        found = self._ledger.db.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")  # noqa: S608
        return int(found.fetchone()[0])

    def _keep_raw(
        self, block: int, used: int, raw: Sequence[str], names: Sequence[str], separator: str
    ) -> None:
        data = self._packer.compress("\0".join(raw).encode())
        self._ledger.db.execute(
            "INSERT INTO raw_blocks VALUES (?, ?, ?, ?, ?)", (block, used, ",".join(names), separator, data)
        )

    def _drop_raw(self, block: int) -> None:
        """Note that a row of a block was replaced; a block without any row in use goes."""
        db = self._ledger.db
        db.execute("UPDATE raw_blocks SET used = used - 1 WHERE id = ?", (block,))
        db.execute("DELETE FROM raw_blocks WHERE id = ? AND used = 0", (block,))

    def _rows(
        self, columns: RunColumns, first_id: int, seen: int, separator: str, block: int
    ) -> tuple[list[tuple[Any, ...]], list[RatedKind]]:
        """Return the rows of the table and the kind of each."""
        kinds = self._kinds.find_all(
            list(
                zip(
                    columns.cluster, columns.account, columns.user, columns.partition, columns.qos,
                    columns.state, columns.allocated, columns.node_count, columns.wckey, columns.comment,
                    strict=True,
                )
            )
        )  # fmt: skip
        keyed = any(columns.db_index)
        db_index = columns.db_index if keyed else _keys_without_index(columns)
        numbers = self._numbers
        for kind in set(kinds) - numbers.keys():
            numbers[kind] = self._numbers_of(kind, keyed=keyed)
        clusters, dims, allocations = zip(*[numbers[kind] for kind in kinds], strict=True)
        closed = [int(state not in OPEN_STATES) for state in columns.state]
        size = len(columns)
        rows = list(
            zip(
                range(first_id, first_id + size),
                clusters,
                db_index,
                [moment or 0 for moment in columns.submitted],
                columns.job_id,
                columns.raw_job_id,
                dims,
                allocations,
                closed,
                columns.started,
                [end if shut else None for end, shut in zip(columns.ended, closed, strict=True)],
                columns.elapsed_s,
                columns.suspended_s,
                columns.time_limit_s,
                columns.node_count,
                columns.name,
                columns.reservation,
                _check_sums(columns.raw, separator),
                [seen] * size,
                [block] * size,
                range(size),
                strict=True,
            )
        )
        return rows, kinds

    def _numbers_of(self, kind: RatedKind, *, keyed: bool) -> tuple[int, int, int]:
        return (
            self._names.cluster(kind.kind.cluster, "dbindex" if keyed else "jobid"),
            self._names.dims(kind.dims),
            self._names.allocation(kind.kind.allocated),
        )

    def _charge_new(
        self, rows: Sequence[tuple[Any, ...]], kinds: Sequence[RatedKind], book: ChargeBook
    ) -> None:
        """Write the charges of runs that are all new."""
        ran = [
            (row, kind)
            for row, kind in zip(rows, kinds, strict=True)
            if row[_STARTED] is not None and kind.held_anything
        ]
        plain = [pair for pair in ran if not pair[0][_SUSPENDED]]
        quick = quick_charges(
            [kind for _, kind in plain],
            self._kinds.rater,
            [row[_STARTED] for row, _ in plain],
            [row[_ELAPSED] for row, _ in plain],
        )
        if quick.days and min(quick.days) <= book.closed_through:
            quick = NO_CHARGES
        book.dirty |= quick.days
        numbers = [(row[0], row[_DIM]) for row, _ in plain]
        self._ledger.db.executemany(
            INSERT_CHARGE,
            [
                (day, numbers[at][0], 0, numbers[at][1], first, wall, cpu, gpu, node, cost, 0)
                for at, day, first, wall, cpu, gpu, node, cost in quick.slices
            ],
        )
        if len(quick.rows) < len(ran):
            done = {numbers[at][0] for at in quick.rows}
            for row, kind in ran:
                if row[0] not in done:
                    book.set(row[0], row[_DIM], self._charge(row, kind), ())

    def _merge(
        self,
        rows: Sequence[tuple[Any, ...]],
        kinds: Sequence[RatedKind],
        book: ChargeBook,
        raw: Sequence[str],
    ) -> tuple[Counts, list[str], int]:
        """Write rows of which the ledger may know some.

        Returns:
            What became of them, the raw rows to keep, and how many of those a later one of them replaced.
        """
        db, counts = self._ledger.db, Counts()
        kept: list[str] = []
        unused = 0
        for position, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
            known = db.execute(_FIND, row[1:4]).fetchone()
            if known is None:
                db.execute(_INSERT, (*row[:-1], len(kept)))
                book.set(row[0], row[_DIM], self._charge(row, kind), ())
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
                db.execute(_REPLACE, (*row[1:-1], len(kept), run_id))
                if block == row[_BLOCK]:
                    unused += 1
                else:
                    self._drop_raw(block)
                kept.append(raw[position])
                counts.changed += 1
            # A record that is still open is judged anew at every reading: it may have become a runaway.
            if row[_CHECK] != check_sum or not closed:
                book.set(run_id, row[_DIM], self._charge(row, kind), self._days(started, held_s))
        return counts, kept, unused

    def _charge(self, row: tuple[Any, ...], kind: RatedKind) -> Charge:
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


def _check_sums(raw: Sequence[str], separator: str) -> list[int]:
    """Return a check sum of each row that does not depend on the separator, which may be random."""
    crc = zlib.crc32
    if separator != "\x1f":
        raw = [row.replace(separator, "\x1f") for row in raw]
    return [crc(row.encode()) | len(row) << 32 for row in raw]


def _keys_without_index(columns: RunColumns) -> list[str]:
    """Return the keys of rows without DBIndex: the job, and for a resized job's earlier rows their start."""
    return [
        f"job-{job}-resized-{started}" if state == "RESIZING" else f"job-{job}"
        for job, state, started in zip(columns.raw_job_id, columns.state, columns.started, strict=True)
    ]


_DIM = _COLUMNS.index("dim_id")
_CLOSED = _COLUMNS.index("closed")
_STARTED = _COLUMNS.index("started")
_ELAPSED = _COLUMNS.index("elapsed_s")
_SUSPENDED = _COLUMNS.index("suspended_s")
_LIMIT = _COLUMNS.index("time_limit_s")
_RESERVATION = _COLUMNS.index("reservation")
_CHECK = _COLUMNS.index("check_sum")
_BLOCK = _COLUMNS.index("raw_block")
_SEEN = _COLUMNS.index("seen")
