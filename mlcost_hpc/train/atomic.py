"""Files and folders that exist whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names inside ``folder`` durable (a rename is only safe once its folder is on disk)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step: readers see the old content or the new one.

    The temporary file has a unique name in the same folder, so two writers, or a writer killed in the
    middle and its successor, cannot meet.

    Raises:
        OSError: the disk is full, the quota is spent, the folder is missing; ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete ``folder`` so that no half-deleted remainder keeps its name.

    Raises:
        OSError: it cannot be deleted.
    """
    doomed = folder.with_name(f".gone-{folder.name}-{uuid.uuid4().hex}")
    folder.rename(doomed)
    shutil.rmtree(doomed)
