"""One file of state: summed while it is written, brought to disk, read back without running code."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train.manifest import FileSum

if TYPE_CHECKING:
    import threading
    from pathlib import Path


_PIECE = 16 * 1024 * 1024
"""Bytes between two looks at whether to give up."""


class _SummingWriter:
    """A file for ``torch.save`` that sums what passes through, so that nothing is read a second time.

    The disk starts on each piece at once, while the next one is summed: there is little left to wait for
    in the end, and unwritten pages do not pile up in the job's memory.
    """

    def __init__(self, file: BinaryIO, cancelled: threading.Event | None) -> None:
        self._file = file
        self._cancelled = cancelled
        self._digest = hashlib.sha256()
        self._size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            if len(data) < _PIECE:
                self._add(data)
            else:
                whole = memoryview(data)
                for start in range(0, len(whole), _PIECE):
                    self._add(whole[start : start + _PIECE])
        except OSError as error:
            self.error = error  # torch reports a position that it did not expect, and hides the reason
            raise
        return len(data)

    def _add(self, piece: bytes | memoryview) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise InterruptedError("given up")
        self._digest.update(piece)
        self._file.write(piece)
        self._size += len(piece)
        if len(piece) == _PIECE:
            # Said to be for pages that are not needed any more; Linux starts to write them, without waiting.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def flush(self) -> None:
        self._file.flush()

    def sum(self) -> FileSum:
        return FileSum(self._size, self._digest.hexdigest())


def write_state(path: Path, state: dict[str, Any], cancelled: threading.Event | None = None) -> FileSum:
    """Write ``state`` to a new file, bring it to disk, and return its size and checksum.

    Raises:
        OSError: the disk is full, the quota is spent, it was cancelled, ...
        RuntimeError: torch could not write it.
    """
    with path.open("xb") as file:
        writer = _SummingWriter(file, cancelled)
        try:
            torch.save(state, writer)  # type: ignore[arg-type]  # torch asks for write() and flush() only
        except RuntimeError:
            if writer.error is not None:
                raise writer.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
        return writer.sum()


def read_state(path: Path) -> dict[str, Any]:
    """Read a file of :func:`write_state` onto the CPU, running no code from it.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise many kinds
        msg = f"{path} cannot be loaded: {error}"
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"{path} cannot be loaded: it holds a {type(state).__name__}, not a dict"
        raise CheckpointError(msg)
    return state
