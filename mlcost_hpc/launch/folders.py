"""Folders of runs."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_STEM = 40


def new_run_dir(runs: Path, name: str) -> Path:
    """Return an absolute folder for a run that nothing has used yet; it is not made."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_LONGEST_STEM] or "run"
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return runs.expanduser().absolute() / f"{stem}-{moment}-{secrets.token_hex(2)}"


def literal_path(path: Path) -> str:
    """Return a path in which Slurm sees no ``%`` pattern."""
    return str(path).replace("%", "%%")
