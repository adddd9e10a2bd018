"""The mark a finished run leaves, so that starting it again costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.train import atomic
from mlcost_hpc.train.attempts import utc_now
from mlcost_hpc.train.requeue import FINISHED_FILE

if TYPE_CHECKING:
    from pathlib import Path


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run says about itself.

    Attributes:
        step: steps done.
        total_steps: steps asked for; more than ``step`` when the run stopped early on purpose.
        ended: UTC, ISO 8601.
        note: why it stopped early, if it did.
    """

    step: int
    total_steps: int
    ended: str
    note: str | None = None


def read_finished(folder: Path) -> Finished | None:
    """Return the mark of a finished run; None when there is none that can be read."""
    try:
        return msgspec.json.decode((folder / FINISHED_FILE).read_bytes(), type=Finished)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # at worst the last steps are looked at once more


def write_finished(folder: Path, *, step: int, total_steps: int, note: str | None) -> None:
    """Leave the mark.

    Raises:
        OSError: the run folder cannot be written.
    """
    mark = Finished(step=step, total_steps=total_steps, ended=utc_now(), note=note)
    atomic.write_file(folder / FINISHED_FILE, msgspec.json.encode(mark) + b"\n")
