"""The ledger's file: opened privately, brought up to date, its transactions and its daily sums."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from mlcost_accounting.ledger import books_schema  # noqa: F401  # adds its migrations
from mlcost_accounting.ledger.budget_schema import budget_migrations
from mlcost_accounting.ledger.capacity_schema import capacity_migrations
from mlcost_accounting.ledger.monthly import days_of_months_since, sum_months
from mlcost_accounting.ledger.schema import migrations
from mlcost_accounting.ledger.tiers import apply_tiers
from mlcost_hpc.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from zoneinfo import ZoneInfo

_BUSY_S = 60.0

_SUM_DAY = """
INSERT INTO daily
SELECT day, dim_id, SUM(corrects = 0), SUM(first), SUM(cost IS NULL), SUM(wall_s), SUM(cpu_s), SUM(gpu_s),
       SUM(node_s), SUM(COALESCE(cost, 0)), SUM(credit), 0
FROM charges WHERE day = ? GROUP BY dim_id
"""
_SUM_STORAGE = """
INSERT INTO daily SELECT day, dim_id, 0, 0, 0, 0, 0, 0, 0, cost, 0, 0 FROM storage_charges WHERE day = ?
"""
_SUM_RESERVATIONS = """
INSERT INTO daily
SELECT day, dim_id, 0, 0, SUM(cost IS NULL), 0, 0, 0, 0, SUM(COALESCE(cost, 0)), 0, 0
FROM reservation_charges WHERE day = ? AND (cost IS NULL OR cost != 0) GROUP BY dim_id
"""


class Ledger:
    """An open ledger.

    Args:
        connection: the database.
        path: its file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.db = connection
        self.path = path

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do what is inside wholly or not at all; one writer at a time."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{self.path}: {error}") from None
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def meta(self, key: str) -> str | None:
        """Return a fact the ledger keeps about itself."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a fact about the ledger (inside a transaction or on its own)."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def mark_dirty(self, days: Iterable[int]) -> None:
        """Note days whose sums must be computed again; belongs in the transaction that changed them."""
        self.db.executemany("INSERT OR IGNORE INTO dirty_days VALUES (?)", ((day,) for day in days))

    def refresh(self) -> int:
        """Compute the sums of all noted days again and return how many there were."""
        days = [row[0] for row in self.db.execute("SELECT day FROM dirty_days ORDER BY day")]
        if not days:
            return 0
        with self.transaction() as db:
            for day in days:
                db.execute("DELETE FROM daily WHERE day = ?", (day,))
                db.execute(_SUM_DAY, (day,))
                db.execute(_SUM_STORAGE, (day,))
                db.execute(_SUM_RESERVATIONS, (day,))
                db.execute("DELETE FROM dirty_days WHERE day = ?", (day,))
            tiers = self.meta("tiers")
            apply_tiers(db, tiers, days[0], int(self.meta("closed_through") or 0))
            # Tiers follow what was spent before, so a changed day changes every day after it.
            sum_months(db, days_of_months_since(db, days[0]) if tiers else days)
        return len(days)

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query as mappings."""
        cursor = self.db.execute(sql, tuple(values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def open_ledger(path: Path, zone: ZoneInfo) -> Ledger:
    """Return the ledger of a file, made when it is not there, for reading and writing.

    The file holds who spent what, so only its owner may read it (mode 0600).

    Args:
        path: the file.
        zone: the site's time zone; it cuts days and cannot change later.

    Raises:
        LedgerError: when it cannot be opened, is no ledger, or was cut in another time zone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        ledger = Ledger(_connect(path, "rwc"), path)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"{path}: {_words(error)}") from None
    try:
        _upgrade(ledger, zone)
    except sqlite3.Error as error:
        ledger.close()
        raise LedgerError(f"{path}: {error}") from None
    except LedgerError:
        ledger.close()
        raise
    return ledger


def read_ledger(path: Path) -> Ledger:
    """Return an existing ledger for reading only.

    Raises:
        LedgerError: when it is not there or is no ledger.
    """
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}: `mlcost ingest` makes one")
    try:
        ledger = Ledger(_connect(path, "ro"), path)
        ledger.meta("time_zone")
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from None
    return ledger


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA wal_autocheckpoint = 8192")
    return connection


def _upgrade(ledger: Ledger, zone: ZoneInfo) -> None:
    """Apply the migrations that are missing, and hold the time zone."""
    import sqlite_utils

    ledger.db.execute("PRAGMA journal_mode = WAL")
    # Whole after a kill at any moment; after a power cut the last commits may be missing, never half there.
    ledger.db.execute("PRAGMA synchronous = NORMAL")
    database = sqlite_utils.Database(ledger.db)
    for tables in (migrations, budget_migrations, capacity_migrations):
        if tables.pending(database):
            tables.apply(database)
    kept = ledger.meta("time_zone")
    if kept is None:
        ledger.set_meta("time_zone", zone.key)
    elif kept != zone.key:
        raise LedgerError(
            f"{ledger.path} cuts its days in {kept}, the settings say {zone.key}: "
            "a ledger keeps its time zone; use another --ledger"
        )


def _words(error: BaseException) -> str:
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else None) or str(error)
