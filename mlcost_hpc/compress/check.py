"""The same file on another processor: does it still give the answers it gave where it was made?

Some int8 files do not: processors without VNNI add products in 16 bits, which saturate. The check runs the
artefact on this node on the same samples and compares the outputs with those kept from its own node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.compress import node
from mlcost_hpc.compress.batch import read_json
from mlcost_hpc.compress.evaluate import EVALUATION_BATCH, agreement, closeness, run_all
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.compress.shared import call_size, ensure_shared
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task

LARGEST_ERROR = 0.05
"""Relative error up to which a file counts as portable to a processor class."""

SAMPLES = 64
OUTPUTS = "outputs.npz"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        task: the task whose artefact was checked.
        node_class: class of the processor it was checked on.
        host: node name.
        relative_error: of the outputs here against those on its own node.
        agreement: part of the samples with the same class; None without classes.
    """

    task: str
    node_class: str
    host: str
    relative_error: float
    agreement: float | None

    @property
    def passed(self) -> bool:
        """True when the answers are the same within the limit."""
        return self.relative_error <= LARGEST_ERROR


def keep_outputs(folder: Path, outputs: list[np.ndarray[Any, Any]]) -> None:
    """Keep a candidate's outputs on the first samples beside it."""
    import io

    import numpy as np

    content = io.BytesIO()
    named: dict[str, Any] = {f"output{index}": array for index, array in enumerate(outputs)}
    np.savez(content, **named)
    write_file(folder / OUTPUTS, content.getvalue())


def first_samples(outputs: list[np.ndarray[Any, Any]], samples: int) -> list[np.ndarray[Any, Any]]:
    """Return the outputs on the first samples; all of an output whose first axis does not count samples."""
    return [array[:SAMPLES] if len(array) == samples else array for array in outputs]


def check_here(batch: Batch, manifest: Manifest, task: Task) -> Check:
    """Run a task's artefact on this node and write what came of it.

    Raises:
        CompressError: the task has no artefact, or it does not run here.
    """
    import numpy as np

    result = batch.result(task.id)
    if result is None or not result.artefact:
        raise CompressError(f"{task.model} {task.recipe.name} has no artefact to check")
    shared = ensure_shared(batch, manifest.model(task.model), manifest.settings)
    feeds = shared.feeds.slice(0, SAMPLES)
    session = open_session(batch.folder / result.artefact, manifest.settings.threads)
    found = run_all(session, feeds, call_size(shared.facts, EVALUATION_BATCH))
    with np.load(batch.task_folder(task.id) / OUTPUTS, allow_pickle=False) as file:
        expected = [file[f"output{index}"] for index in range(len(file.files))]
    relative, _ = closeness(expected, found)
    _, flags = node.read_processor()
    check = Check(
        task=task.id,
        node_class=node.node_class(flags),
        host=node.host_name(),
        relative_error=relative,
        agreement=agreement(expected, found, len(feeds)),
    )
    folder = batch.task_folder(task.id) / "checks"
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{check.node_class}.json", msgspec.json.encode(check))
    return check


def read_checks(batch: Batch, task_id: str) -> list[Check]:
    """Return what the checks of a task found.

    Raises:
        CompressError: a record is damaged.
    """
    folder = batch.task_folder(task_id) / "checks"
    return [read_json(path, Check) for path in sorted(folder.glob("[!.]*.json"))]
