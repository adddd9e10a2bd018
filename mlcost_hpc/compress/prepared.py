"""The original prepared for quantizers: done once a model and kept beside what else its tasks share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.batch import read_json
from mlcost_hpc.compress.methods.prepare import prepare
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from mlcost_hpc.compress.shared import Shared

_MODEL = "prepared.onnx"
_RECORD = "prepared.json"


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What came of preparing.

    Attributes:
        changed: there is a prepared file; else the original is used as it is.
        remarks: steps that were left out, and why.
    """

    changed: bool
    remarks: tuple[str, ...]


def prepared_original(shared: Shared, threads: int) -> tuple[Path, tuple[str, ...]]:
    """Return the original as quantizers take it, and what was left out and why.

    Raises:
        CompressError: the record is damaged.
        OSError: the files cannot be written.
    """
    target, record = shared.folder / _MODEL, shared.folder / _RECORD
    if not record.exists():
        with tempfile.TemporaryDirectory(dir=shared.folder, prefix=".prepare-") as scratch:
            path, remarks = prepare(shared.original, shared.calibration, Path(scratch), threads)
            if path != shared.original:
                write_file(target, path.read_bytes())
        found = Preparation(changed=path != shared.original, remarks=tuple(remarks))
        write_file(record, msgspec.json.encode(found))
    stored = read_json(record, Preparation)
    return target if stored.changed else shared.original, stored.remarks
