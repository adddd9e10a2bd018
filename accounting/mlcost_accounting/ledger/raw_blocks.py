"""Raw rows read again: a block of them back into the columns of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import zstandard

from mlcost_hpc.errors import LedgerError
from mlcost_hpc.slurm.api import Run
from mlcost_hpc.slurm.sacct_columns import columns_of, parse_columns
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.sacct_columns import RunColumns

JSON = "json"
"""The separator that says that a raw row is a record, as backends without text give it."""


class RawBlock(NamedTuple):
    """Rows as they came, with what it takes to read them."""

    names: tuple[str, ...]
    separator: str
    zone: str
    rows: tuple[str, ...]

    def columns(self, wanted: Sequence[int], cluster: str) -> RunColumns:
        """Return some rows as columns.

        Args:
            wanted: their positions, rising.
            cluster: the cluster of rows that do not name theirs.

        Raises:
            LedgerError: when one of them cannot be read any more.
        """
        rows = [self.rows[at] for at in wanted]
        if self.separator == JSON:
            return columns_of([msgspec.json.decode(row, type=Run) for row in rows])
        layout = Layout.of(self.names, self.separator, trailing=self._is_trailing())
        zone = ZoneInfo(self.zone) if self.zone else None
        answer = parse_columns("".join(f"{row}\n" for row in rows), layout, cluster=cluster, zone=zone)
        if list(answer.columns.raw) != rows:
            raise LedgerError(f"{len(rows)} raw rows are read as {len(answer.columns)} runs")
        return answer.columns

    def _is_trailing(self) -> bool:
        """Return True when every row ends with a separator that no field follows."""
        return all(
            row.endswith(self.separator) and row.count(self.separator) >= len(self.names) for row in self.rows
        )


def read_block(ledger: Ledger, number: int) -> RawBlock:
    """Return a block of raw rows.

    Raises:
        LedgerError: when it is not there, or damaged.
    """
    found = ledger.db.execute(
        "SELECT names, separator, zone, data FROM raw_blocks WHERE id = ?", (number,)
    ).fetchone()
    if found is None:
        raise LedgerError(f"the raw rows of block {number} are missing")
    names, separator, zone, data = found
    try:
        text = zstandard.ZstdDecompressor().decompress(data).decode()
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise LedgerError(f"the raw rows of block {number} are damaged: {error}") from None
    return RawBlock(tuple(names.split(",")), separator, zone, tuple(text.split("\0")))
