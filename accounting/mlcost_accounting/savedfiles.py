"""Accounting rows that were saved to a file: plain, gzip or zstd, or standard input; rows or JSON."""

from __future__ import annotations

import gzip
import io
import os
import sys
import time
from typing import IO, TYPE_CHECKING, Any

import zstandard

from mlcost_hpc.errors import LedgerError, UsageError
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PART = 1 << 22
_LONGEST_BANNER, _LONGEST_LINE = 100, 1 << 16  # lines, characters

STDIN = "-"
"""The file name that means standard input."""


def _rows_only(_document: str) -> None:
    raise UsageError("rows are wanted here, not JSON")


class SavedRows:
    """Rows in a file.

    Bytes that are not UTF-8 become replacement marks; the file is read part by part.

    Args:
        path: the file; ``-`` is standard input.
        fields: names of the fields; None = the first line says them.
        delimiter: what stands between fields.
    """

    def __init__(self, path: Path, fields: Sequence[str] | None, delimiter: str) -> None:
        self.path = path
        self._fields = fields
        self._delimiter = delimiter
        self.read_bytes = 0

    @property
    def size(self) -> int | None:
        """Bytes of the file as it is stored; None for standard input."""
        return None if str(self.path) == STDIN else self.path.stat().st_size

    @property
    def saved_at(self) -> int:
        """When the rows were read from Slurm, as far as the file tells: its time of change."""
        return int(time.time()) if str(self.path) == STDIN else int(self.path.stat().st_mtime)

    def read(
        self, on_layout: Callable[[Layout], None], on_document: Callable[[str], None] = _rows_only
    ) -> Iterator[str]:
        """Yield the rows as text, cut anywhere; nothing for a JSON document.

        Args:
            on_layout: called once with the layout, before the first part.
            on_document: called with the whole text of a file that holds JSON; by default it is refused.

        Raises:
            UsageError: when the file is not there or does not say its fields.
            LedgerError: when it is damaged.
        """
        try:
            with self._open() as raw, _text(raw) as text:
                first = text.readline()
                if self._fields is None and not self._is_heading(first):
                    on_document(self._document(first, text))
                    return
                yield self._begin(first, on_layout)
                while part := text.read(_PART):
                    self.read_bytes = raw.tell() if raw.seekable() else 0
                    yield part
        except (EOFError, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise LedgerError(f"{self.path} is damaged: {error}") from None
        except OSError as error:
            raise UsageError(f"{self.path}: {os.strerror(error.errno or 0)}") from None

    def _begin(self, first: str, on_layout: Callable[[Layout], None]) -> str:
        """Tell the layout; return the first line when it is a row."""
        words = first.rstrip("\r\n").split(self._delimiter)
        trailing = len(words) > 1 and not words[-1]
        names = self._fields
        if names is None:
            names = words[:-1] if trailing else words
        trailing = trailing and len(words) == len(names) + 1
        on_layout(Layout.of(names, self._delimiter, trailing=trailing))
        return "" if self._is_heading(first) else first

    def _is_heading(self, line: str) -> bool:
        names = {word.strip().lower() for word in line.split(self._delimiter)}
        return "state" in names and bool({"jobid", "jobidraw"} & names)

    def _document(self, first: str, text: IO[str]) -> str:
        """Return JSON that begins here or after some lines of a login banner."""
        line = first
        for _ in range(_LONGEST_BANNER):
            if line.startswith("{"):
                return line + text.read()
            line = text.readline(_LONGEST_LINE)
        raise UsageError(f"{self.path} does not begin with the names of its fields: give them with --fields")

    def _open(self) -> IO[bytes]:
        return sys.stdin.buffer if str(self.path) == STDIN else self.path.open("rb")


def _text(raw: IO[bytes]) -> io.TextIOWrapper:
    """Return the text of a stream that may be compressed."""
    buffered = io.BufferedReader(raw)  # type: ignore[type-var]  # any stream of bytes will do
    start = buffered.peek(4)[:4]
    plain: Any = buffered
    if start.startswith(_GZIP):
        plain = gzip.GzipFile(fileobj=buffered)
    elif start.startswith(_ZSTD):
        frames = zstandard.ZstdDecompressor().stream_reader(buffered, read_across_frames=True)
        plain = io.BufferedReader(frames)
    return io.TextIOWrapper(plain, encoding="utf-8", errors="replace", newline="\n")
