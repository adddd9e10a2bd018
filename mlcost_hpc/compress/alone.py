"""Candidates measured again, where and how they will be served: alone on a node, or on another processor.

The tasks of a batch measure on shared, cheap cores. What is on a model's front can afterwards be measured on
nodes that nobody else uses; the report then goes by these figures.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress import node
from mlcost_hpc.compress.batch import read_folder
from mlcost_hpc.compress.candidate import THOROUGH, measure_all
from mlcost_hpc.compress.cores import lock_folder, pinned
from mlcost_hpc.compress.manifest import hash_file
from mlcost_hpc.compress.place import this_place
from mlcost_hpc.compress.records import Measurement
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.compress.shared import ensure_shared
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task

_CORE_PATIENCE_S = 120.0


def measure_here(batch: Batch, manifest: Manifest, task: Task) -> Measurement:
    """Measure a task's artefact against the original on this node, thoroughly, and keep what came of it.

    Raises:
        CompressError: the task has no artefact, it was changed, or it does not run here.
    """
    result = batch.row(task)
    if result is None or not result.artefact:
        raise CompressError(f"{task.model} {task.recipe.name} has no artefact to measure")
    artefact = batch.folder / result.artefact
    if hash_file(artefact) != result.artefact_sha256:
        raise CompressError(f"{artefact} is not the file that was made: its checksum differs")
    began = time.monotonic()
    settings = manifest.settings
    shared = ensure_shared(batch, manifest.model(task.model), settings)
    load_before = node.load_average()
    with pinned(settings.threads, lock_folder(), patience_s=_CORE_PATIENCE_S) as cores:
        opened = time.perf_counter()
        open_session(artefact, settings.threads)
        load_s = time.perf_counter() - opened
        latency = measure_all(shared.original, artefact, shared, settings, THOROUGH)
    found = Measurement(
        task=task.id,
        place=this_place(settings.threads, cores, load_before),
        latency=latency,
        load_s=round(load_s, 4),
        seconds=round(time.monotonic() - began, 2),
        finished=round(time.time(), 3),
    )
    folder = batch.measured_folder(task.id)
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{found.place.node_class}.json", msgspec.json.encode(found))
    return found


def read_measurements(batch: Batch, task_id: str) -> list[Measurement]:
    """Return a task's later measurements, one a class of processors.

    Raises:
        CompressError: a record is damaged.
    """
    return read_folder(batch.measured_folder(task_id), Measurement)


def measured_by(batch: Batch, task_id: str, job: str) -> bool:
    """Return whether a Slurm job has measured a task already."""
    return bool(job) and job in {found.place.job for found in read_measurements(batch, task_id)}
