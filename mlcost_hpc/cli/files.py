"""Files that commands write beside their output: private, for they hold who spent what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a text that only its owner may read (mode 0600, also where the file is there already).

    Raises:
        UsageError: when it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
