"""The report as a file, by the name's ending: ``.html``, ``.parquet``, ``.csv``, ``.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlcost_hpc.errors import CompressError, UsageError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

Rows = Sequence[Mapping[str, Any]]
Render = Callable[[], str]


def write_report(path: Path, rows: Rows, columns: Sequence[str], renders: Mapping[str, Render]) -> None:
    """Write the report to a file, whole or not at all.

    Args:
        path: the file.
        rows: its rows, for Parquet.
        columns: their keys, in order.
        renders: ending -> function that gives the text of that kind.

    Raises:
        UsageError: the ending is not known.
        CompressError: the file cannot be written.
    """
    kinds = [".parquet", *renders]
    if path.suffix not in kinds:
        raise UsageError(f"{path}: the name must end in one of {', '.join(kinds)}")
    content = parquet(rows, columns) if path.suffix == ".parquet" else renders[path.suffix]().encode()
    try:
        write_file(path.absolute(), content)
    except OSError as error:
        raise CompressError(f"{path}: {error.strerror}") from error


def parquet(rows: Rows, columns: Sequence[str]) -> bytes:
    """Return the rows as a Parquet file.

    Raises:
        CompressError: pyarrow is not installed.
    """
    import pandas as pd

    frame = pd.DataFrame([{key: row.get(key) for key in columns} for row in rows], columns=list(columns))
    try:
        content: bytes = frame.to_parquet(None, index=False)
    except ImportError:
        raise CompressError("Parquet needs pyarrow: pip install pyarrow") from None
    return content
