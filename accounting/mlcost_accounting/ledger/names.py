"""Numbers of the names that repeat: clusters, resource lists, report dimensions; each looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_accounting.dims import Dims
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

_FIELDS = ", ".join(Dims._fields)
_MARKS = ", ".join("?" * len(Dims._fields))
_EQUAL = " AND ".join(f"{name} = ?" for name in Dims._fields)
_NEW_DIMS = f"INSERT OR IGNORE INTO dims ({_FIELDS}) VALUES ({_MARKS}) RETURNING id"  # noqa: S608
_OLD_DIMS = f"SELECT id FROM dims WHERE {_EQUAL}"  # noqa: S608


class Names:
    """Gives numbers to names. Numbers given in a transaction that is rolled back must be forgotten."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._clusters: dict[str, tuple[int, str]] = {}
        self._allocations: dict[str, int] = {}
        self._dims: dict[Dims, int] = {}

    def forget(self) -> None:
        """Look everything up again."""
        self._clusters.clear()
        self._allocations.clear()
        self._dims.clear()

    def cluster(self, name: str, run_key: str) -> int:
        """Return a cluster's number.

        Raises:
            UsageError: when its runs were keyed otherwise before: they would be counted twice.
        """
        if name not in self._clusters:
            self._db.execute("INSERT OR IGNORE INTO clusters (name, run_key) VALUES (?, ?)", (name, run_key))
            row = self._db.execute("SELECT id, run_key FROM clusters WHERE name = ?", (name,)).fetchone()
            self._clusters[name] = (row[0], row[1])
        number, kept = self._clusters[name]
        if kept != run_key:
            have, lack = ("have", "lack") if kept == "dbindex" else ("lack", "have")
            raise UsageError(
                f"the runs of cluster {name!r} in this ledger {have} DBIndex and these rows {lack} it: "
                "they would be counted twice; save the rows with the same fields, or use another ledger"
            )
        return number

    def allocation(self, tres: str) -> int:
        """Return a resource list's number."""
        number = self._allocations.get(tres)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO allocations (tres) VALUES (?)", (tres,))
            row = self._db.execute("SELECT id FROM allocations WHERE tres = ?", (tres,)).fetchone()
            number = self._allocations[tres] = row[0]
        return number

    def dims(self, dims: Dims) -> int:
        """Return the number of a combination of report dimensions."""
        number = self._dims.get(dims)
        if number is None:
            row = self._db.execute(_NEW_DIMS, dims).fetchone() or self._db.execute(_OLD_DIMS, dims).fetchone()
            number = int(row[0])
            self._dims[dims] = number
        return number

    def dims_of(self, number: int) -> Dims:
        """Return the combination that has a number."""
        return Dims(*self._db.execute(f"SELECT {_FIELDS} FROM dims WHERE id = ?", (number,)).fetchone())  # noqa: S608
