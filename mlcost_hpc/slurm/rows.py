"""Rows with a separator between fields, where a text may hold new lines (pure).

Slurm escapes nothing. So the separator is one that no text can hold (see
:func:`mlcost_hpc.slurm.commands.new_separator`), and the last field is one that Slurm itself writes: a row
ends where the number of fields is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.slurm.api import Reject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def split_rows(text: str, separator: str, width: int) -> Iterator[list[str] | Reject]:
    """Yield rows of ``width`` fields, and a reject for each piece that is none.

    A line without any separator where a row should begin (a login banner) is rejected alone; a row with
    too many fields is rejected whole. Fields may hold new lines, except the last one.
    """
    pending: list[str] = []
    for line in text.split("\n"):
        fields = line.split(separator)
        if not pending:
            if len(fields) == width:
                yield fields
            elif len(fields) > width:
                yield Reject(text=line, why=f"{len(fields)} fields, {width} expected")
            elif len(fields) > 1:
                pending = fields
            elif line.strip():
                yield Reject(text=line, why="not a row of the answer")
            continue
        pending = _join(pending, fields)
        if len(pending) >= width:
            if len(pending) == width:
                yield pending
            else:
                yield _too_long(pending, separator, width)
            pending = []
    if pending:
        yield Reject(text=separator.join(pending), why=f"ends after {len(pending)} of {width} fields")


def _join(pending: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Return the row begun and its next line: the new line belongs to the field it stands in."""
    return [*pending[:-1], f"{pending[-1]}\n{fields[0]}", *fields[1:]]


def _too_long(fields: Sequence[str], separator: str, width: int) -> Reject:
    return Reject(text=separator.join(fields), why=f"{len(fields)} fields, {width} expected")
