"""Speeds that were measured here, kept beyond the folders of the runs that measured them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.kept import keep_file
from mlcost_hpc.launch.speed import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MOST = 5000


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement and when it was made.

    Attributes:
        measurement: what was measured.
        at: start of the run, UTC, ISO 8601.
    """

    measurement: Measurement
    at: str


def merge(kept: Iterable[Measured], found: Iterable[Measured]) -> tuple[Measured, ...]:
    """Return the newest measurement of every job on every kind and number of GPUs, newest first (pure).

    Args:
        kept: what was known.
        found: what the runs' own records say; of two of the same run it counts, for the run may still go on.
    """
    newest: dict[tuple[str, str, int], Measured] = {}
    for item in (*kept, *found):
        key = (item.measurement.job, item.measurement.gpu_model, item.measurement.gpus)
        if key not in newest or newest[key].at <= item.at:
            newest[key] = item
    return tuple(sorted(newest.values(), key=lambda item: item.at, reverse=True)[:_MOST])


def kept_measurements(path: Path) -> tuple[Measured, ...]:
    """Return what was kept; nothing where there is no such file, or one of another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Measured, ...])
    except (OSError, msgspec.MsgspecError):
        return ()


def keep(path: Path, measured: tuple[Measured, ...]) -> None:
    """Write the measurements in one step, for this user only.

    Raises:
        OSError: the folder cannot be written.
    """
    keep_file(path, msgspec.json.encode(measured))
