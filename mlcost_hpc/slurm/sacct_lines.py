"""Lines of accounting rows: which fields they have, and where one row ends (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.slurm.api import Reject
from mlcost_hpc.slurm.repeated import Repeated
from mlcost_hpc.slurm.sacct_frame import frame_columns

_FREE_TEXTS = frozenset({"jobname", "comment", "admincomment", "systemcomment", "submitline", "workdir"})
_NEEDED = (("jobid", "jobidraw"), ("state",), ("submit",), ("start",), ("end",), ("elapsedraw", "elapsed"))


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a row and what stands between them.

    Attributes:
        names: sacct's field names in lower case, in order.
        separator: what stands between two fields.
        trailing: the separator also stands after the last field (``sacct --parsable``).
    """

    names: tuple[str, ...]
    separator: str
    trailing: bool = False

    @classmethod
    def of(cls, fields: Sequence[str], separator: str, *, trailing: bool = False) -> Layout:
        """Return the layout of a list of field names, spelt in any case.

        Raises:
            UsageError: when a field is named twice, or one without which a row is worthless is missing.
        """
        names = tuple(field.strip().lower().split("%")[0] for field in fields)
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UsageError(f"field named twice: {', '.join(sorted(twice))}")
        missing = [choice[0] for choice in _NEEDED if not set(choice) & set(names)]
        if missing:
            raise UsageError(f"rows without {', '.join(missing)} cannot be accounted")
        return cls(names=names, separator=separator, trailing=trailing)

    @property
    def width(self) -> int:
        """Number of pieces between separators."""
        return len(self.names) + self.trailing

    def has(self, name: str) -> bool:
        """Return True when rows have this field."""
        return name in self.names

    def fold(self, pieces: Sequence[str]) -> list[str] | None:
        """Return a row whose free texts hold separators, its excess put back into them; None if unclear.

        Fields before the first free text are counted from the left, those after the last one from the
        right; what is between belongs to the free texts, which must stand side by side.
        """
        free = [index for index, name in enumerate(self.names) if name in _FREE_TEXTS]
        if not free or free[-1] - free[0] != len(free) - 1 or len(pieces) < self.width:
            return None
        after = self.width - free[-1] - 1
        middle = pieces[free[0] : len(pieces) - after]
        excess = len(middle) - len(free)
        text = self.separator.join(middle[: excess + 1])
        return [*pieces[: free[0]], text, *middle[excess + 1 :], *pieces[len(pieces) - after :]]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a text, what is no row, and what is left at the end.

    Attributes:
        columns: field name -> one value for each row, texts that repeat perhaps with their codes.
        raw: each row's own text.
    """

    columns: Mapping[str, Sequence[Any] | Repeated[str]]
    raw: list[str]
    rejects: tuple[Reject, ...] = ()
    rest: str = ""


def split_lines(text: str, layout: Layout, *, last: bool) -> Lines:
    """Return the rows of a text.

    A free text may hold new lines (the row goes on until it has all its fields) and, where there is one
    group of free texts, separators. A line that is neither a row nor the middle of one is a reject.
    """
    # No text of Slurm can hold a NUL; a damaged file may.
    lines = text.replace("\0", "\ufffd").split("\n")
    rest = "" if last else lines.pop()
    if lines and not lines[-1]:
        lines.pop()
    columns = frame_columns(lines, layout)
    if columns is not None:
        return Lines(columns=columns, raw=lines, rest=rest)
    rows = [line.split(layout.separator) for line in lines]
    if set(map(len, rows)) <= {layout.width}:
        return Lines(columns=_turn(rows, layout), raw=lines, rest=rest)
    return _Joiner(layout).join(lines, rest, last=last)


def _turn(rows: Sequence[Sequence[str]], layout: Layout) -> dict[str, Sequence[str]]:
    """Return rows as columns; without rows there are none."""
    return dict(zip(layout.names, zip(*rows, strict=True), strict=False)) if rows else {}


class _Joiner:
    """Puts rows together that are spread over lines."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: list[list[str]] = []
        self._raw: list[str] = []
        self._rejects: list[Reject] = []
        # A free text at the very end: a line without separators goes on with the row before.
        self._open_end = layout.names[-1] in _FREE_TEXTS and not layout.trailing

    def join(self, lines: Sequence[str], rest: str, *, last: bool) -> Lines:
        pending = ""
        for line in lines:
            begun = f"{pending}\n{line}" if pending else line
            pending = self._take(begun, begun.count(self._layout.separator) + 1)
        if pending and last:
            self._refuse(pending, f"ends after {pending.count(self._layout.separator) + 1} fields")
        elif pending:
            rest = f"{pending}\n{rest}"
        return Lines(
            columns=_turn(self._rows, self._layout), raw=self._raw, rejects=tuple(self._rejects), rest=rest
        )

    def _take(self, line: str, pieces: int) -> str:
        """Take a line as a row, a reject or the end of the row before; return it when it goes on."""
        layout = self._layout
        if pieces == layout.width:
            self._add(line, line.split(layout.separator))
        elif pieces > layout.width:
            folded = layout.fold(line.split(layout.separator))
            if folded is None:
                self._refuse(line, f"{pieces} fields, {layout.width} expected")
            else:
                self._add(line, folded)
        elif pieces == 1 and self._open_end and self._rows:
            self._rows[-1][-1] += f"\n{line}"
            self._raw[-1] += f"\n{line}"
        elif pieces == 1:
            if line.strip():
                self._refuse(line, "not a row of the answer")
        else:
            return line
        return ""

    def _add(self, line: str, fields: list[str]) -> None:
        self._rows.append(fields[: len(self._layout.names)])
        self._raw.append(line)

    def _refuse(self, text: str, why: str) -> None:
        self._rejects.append(Reject(text=text, why=why))
