"""The same file on another processor: does it still give the answers it gave where it was made?

Some int8 files do not: processors without VNNI add products in 16 bits, which saturate. The check runs the
artefact on this node on the same samples and compares the outputs with those kept from its own node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.compress import node
from mlcost_hpc.compress.batch import read_folder
from mlcost_hpc.compress.evaluate import agreement, closeness, finite, run_all
from mlcost_hpc.compress.manifest import hash_file
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.compress.shared import call_size, ensure_shared
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.feeds import Feeds
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.shared import Shared

LARGEST_ERROR = 0.05
"""Relative error up to which a file counts as portable to a processor class."""

SAMPLES = 64
CALL = 2
"""Samples in each call of a check, whoever makes it: some int8 files scale by all that is in a call."""

OUTPUTS = "outputs.npz"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        task: the task whose artefact was checked.
        node_class: class of the processor it was checked on.
        host: node name.
        relative_error: of the outputs here against those on its own node; None = not finite.
        agreement: part of the samples with the same class; None without classes.
    """

    task: str
    node_class: str
    host: str
    relative_error: float | None
    agreement: float | None

    @property
    def passed(self) -> bool:
        """True when the answers are the same within the limit."""
        return self.relative_error is not None and self.relative_error <= LARGEST_ERROR

    @property
    def how_far(self) -> str:
        """How far the answers are from those of the node where the file was made, in words."""
        if self.relative_error is None:
            return "NaN or infinity"
        return f"off by {self.relative_error:.3g} relative (at most {LARGEST_ERROR:g})"


def keep_outputs(artefact: Path, shared: Shared, threads: int) -> None:
    """Keep a candidate's outputs on the first samples beside it."""
    import io

    import numpy as np

    outputs = _answers(artefact, shared, _first(shared, SAMPLES), threads)
    content = io.BytesIO()
    named: dict[str, Any] = {f"output{index}": array for index, array in enumerate(outputs)}
    np.savez(content, **named)
    write_file(artefact.with_name(OUTPUTS), content.getvalue())


def _first(shared: Shared, samples: int) -> Feeds:
    """Return the first samples, rounded up to whole calls."""
    size = call_size(shared.facts, CALL)
    return shared.feeds.slice(0, -(-samples // size) * size)


def _answers(artefact: Path, shared: Shared, feeds: Feeds, threads: int) -> list[np.ndarray[Any, Any]]:
    return run_all(open_session(artefact, threads), feeds, call_size(shared.facts, CALL))


def check_here(
    batch: Batch, manifest: Manifest, task: Task, *, on: str | None = None, samples: int = SAMPLES
) -> Check:
    """Run a task's artefact on this node and write what came of it.

    Args:
        batch: the batch folder.
        manifest: its manifest.
        task: whose artefact.
        on: class of the processor that this process sees; None = this node's.
        samples: so many are run, of those whose answers were kept; whole calls.

    Raises:
        CompressError: the task has no artefact, it was changed, or it does not run here.
    """
    import numpy as np

    result = batch.row(task)
    if result is None or not result.artefact:
        raise CompressError(f"{task.model} {task.recipe.name} has no artefact to check")
    artefact = batch.folder / result.artefact
    if hash_file(artefact) != result.artefact_sha256:
        raise CompressError(f"{artefact} is not the file that was made: its checksum differs")
    shared = ensure_shared(batch, manifest.model(task.model), manifest.settings)
    feeds = _first(shared, min(samples, SAMPLES))
    found = _answers(artefact, shared, feeds, manifest.settings.threads)
    with np.load(batch.task_folder(task.id) / OUTPUTS, allow_pickle=False) as file:
        kept = [file[f"output{index}"] for index in range(len(file.files))]
    # Samples lie one after the other along the first axis, so that fewer of them are the first ones.
    expected = [one[: len(other)] for one, other in zip(kept, found, strict=True)]
    relative, _ = closeness(expected, found)
    check = Check(
        task=task.id,
        node_class=on or node.node_class(node.read_processor()[1]),
        host=node.host_name(),
        relative_error=finite(relative),
        agreement=agreement(expected, found, len(feeds)),
    )
    folder = batch.checks_folder(task.id)
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{check.node_class}.json", msgspec.json.encode(check))
    return check


def read_checks(batch: Batch, task_id: str) -> list[Check]:
    """Return what the checks of a task found.

    Raises:
        CompressError: a record is damaged.
    """
    return read_folder(batch.checks_folder(task_id), Check)
