"""One task from start to result, in the process that does the work."""

from __future__ import annotations

import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress import node
from mlcost_hpc.compress.auto import suitable
from mlcost_hpc.compress.candidate import THOROUGH, gzip_size, timed
from mlcost_hpc.compress.check import keep_outputs
from mlcost_hpc.compress.cores import lock_folder, pinned
from mlcost_hpc.compress.evaluate import EVALUATION_BATCH, run_all, score
from mlcost_hpc.compress.failure import explain
from mlcost_hpc.compress.ladder import Climb
from mlcost_hpc.compress.manifest import Manifest, Model, Settings, Task, hash_file
from mlcost_hpc.compress.memory import peak_growth
from mlcost_hpc.compress.methods import METHODS
from mlcost_hpc.compress.methods.base import NotApplicableError, Subject, Workshop
from mlcost_hpc.compress.methods.ready import ready
from mlcost_hpc.compress.place import this_place
from mlcost_hpc.compress.prepared import prepared_original
from mlcost_hpc.compress.recipes import AUTO, Recipe, chain
from mlcost_hpc.compress.records import Result
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.compress.search import search, unless_broken
from mlcost_hpc.compress.shared import Shared, call_size, ensure_shared, teacher_answers
from mlcost_hpc.compress.versions import library_versions
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.recipes import Recipe

_LADDER_SHARE = 0.6
"""Part of a task's time after which no further rung is begun."""

_CORE_PATIENCE_S = 120.0


def run_task(batch: Batch, manifest: Manifest, task: Task, *, sample_share: float = 1.0) -> Result:
    """Do a task and write its result; every failure becomes a row.

    Args:
        batch: the batch folder.
        manifest: its manifest.
        task: what to do.
        sample_share: part of the calibration samples to use; less after the memory did not suffice.

    Raises:
        OSError: the result itself cannot be written.
        MemoryError: the memory does not suffice; the caller may try with fewer samples.
    """
    began = time.monotonic()
    model = manifest.model(task.model)
    settings = manifest.settings
    _seed(settings.seed)
    batch.task_folder(task.id).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=batch.task_folder(task.id), prefix=".work-") as scratch:
        try:
            shared = ensure_shared(batch, model, settings)
            shop = _workshop(Path(scratch), shared, settings, sample_share)
            result = _climb_and_weigh(batch, task, model, settings, shared, shop, manifest.task_minutes)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - every failure is a row of the table
            result = failed_row(task, error)
    result = msgspec.structs.replace(
        result,
        seconds=round(time.monotonic() - began, 2),
        cpus=node.cpus_of_job(os.environ),
        versions=library_versions(),
        finished=round(time.time(), 3),
    )
    batch.write_result(result)
    batch.so_far_path(task.id).unlink(missing_ok=True)
    return result


def failed_row(task: Task, error: BaseException) -> Result:
    """Return the row of a task that ended with an error."""
    said = explain(error)
    if isinstance(error, NotApplicableError):
        return Result(
            task=task.id,
            model=task.model,
            recipe=task.recipe.name,
            status="not-applicable",
            reason=said.reason,
        )
    return Result(
        task=task.id,
        model=task.model,
        recipe=task.recipe.name,
        status="failed",
        reason=said.reason,
        next_step=said.next_step,
        cause=said.cause,
    )


def _climb_and_weigh(
    batch: Batch,
    task: Task,
    model: Model,
    settings: Settings,
    shared: Shared,
    shop: Workshop,
    task_minutes: float,
) -> Result:
    way = Climb(on_better=lambda found: _keep_so_far(batch, task, shared, settings, found))
    recipes = _recipes(task.recipe, shared, shop)
    subject = _subject(model, shared, recipes)
    deadline = time.monotonic() + _LADDER_SHARE * 60 * task_minutes

    broken = search(recipes, subject, shared, model, settings, shop, deadline, way)
    if way.best is None:
        row = failed_row(task, way.error or RuntimeError("nothing was tried"))
        return msgspec.structs.replace(
            row, attempts=tuple(way.attempts), size_before=shared.facts.size, notes=tuple(shop.notes)
        )
    _score_controls(shop, shared, model, settings)
    load_before = node.load_average()
    with pinned(settings.threads, lock_folder(), patience_s=_CORE_PATIENCE_S) as cores:
        final = unless_broken(broken[way.best.path], timed(way.best, shared, model, settings, THOROUGH))
    peak = _peak_memory(final.path, shared, settings)
    artefact = _keep(final.path, batch.task_folder(task.id))
    keep_outputs(artefact, shared, settings.threads)
    return Result(
        task=task.id,
        model=task.model,
        recipe=task.recipe.name,
        status=final.status,
        reason=final.reason,
        size_before=shared.facts.size,
        size_after=final.facts.size,
        gzip_after=gzip_size(artefact),
        latency=final.latency,
        score=final.score,
        changed=final.changed,
        kept_fp32=final.facts.float_bytes,
        attempts=tuple(way.attempts),
        load_s=round(final.load_s, 4),
        peak_memory=peak,
        place=this_place(settings.threads, cores, load_before),
        artefact=str(artefact.relative_to(batch.folder)),
        artefact_sha256=hash_file(artefact),
        notes=tuple(shop.notes),
    )


def _keep_so_far(batch: Batch, task: Task, shared: Shared, settings: Settings, way: Climb) -> None:
    """Keep the best candidate with its quick figures: the task may be ended before the thorough ones."""
    best = way.best
    if best is None:
        return
    artefact = _keep(best.path, batch.task_folder(task.id))
    batch.write_so_far(
        Result(
            task=task.id,
            model=task.model,
            recipe=task.recipe.name,
            status=best.status,
            reason=best.reason,
            size_before=shared.facts.size,
            size_after=best.facts.size,
            latency=best.latency,
            score=best.score,
            changed=best.changed,
            kept_fp32=best.facts.float_bytes,
            attempts=tuple(way.attempts),
            load_s=round(best.load_s, 4),
            place=this_place(settings.threads, (), node.load_average()),
            artefact=str(artefact.relative_to(batch.folder)),
            artefact_sha256=hash_file(artefact),
            versions=library_versions(),
        )
    )


def _recipes(recipe: Recipe, shared: Shared, shop: Workshop) -> tuple[Recipe, ...]:
    """Return the recipe, or those that ``auto`` stands for with this model.

    What a quantizer can take of it may only be seen when it is prepared.
    """
    if recipe.name != AUTO:
        return (recipe,)
    _, facts = ready(shared.original, shop)
    return tuple(chain(name) for name in suitable(facts))


def _subject(model: Model, shared: Shared, recipes: tuple[Recipe, ...]) -> Subject:
    """Return the original; with its torch module where a step of a recipe works on it."""
    needs_module = any(METHODS[step.method].needs_module for recipe in recipes for step in recipe.steps)
    if not needs_module or model.spec.factory is None:
        return Subject(onnx=shared.original)
    from mlcost_hpc.compress.torchmodel import load_module

    module = load_module(model.spec.factory, Path(model.spec.state or ""))
    return Subject(onnx=shared.original, module=module)


def _score_controls(shop: Workshop, shared: Shared, model: Model, settings: Settings) -> None:
    """Note how good the controls are: what the method is worth is its distance from them."""
    for name, path in shop.controls.items():
        outputs = run_all(open_session(path, settings.threads), shared.feeds, EVALUATION_BATCH)
        found = score(shared.outputs, outputs, shared.feeds, model.spec.metric)
        value = found.after if found.after is not None else found.agreement
        shop.notes.append(f"control {name}, before any quantization: {found.metric} {value}")


def _workshop(scratch: Path, shared: Shared, settings: Settings, sample_share: float) -> Workshop:
    _, flags = node.read_processor()
    calibration = shared.calibration
    return Workshop(
        folder=scratch,
        calibration=calibration.slice(0, max(1, int(len(calibration) * sample_share))),
        training=shared.training,
        teacher=lambda: teacher_answers(shared, settings.threads),
        threads=node.cpus_of_job(os.environ),
        seed=settings.seed,
        reduce_range=node.needs_reduced_range(settings.serving),
        processor_flags=flags,
        kept={shared.original: partial(prepared_original, shared, settings.threads)},
    )


def _peak_memory(path: Path, shared: Shared, settings: Settings) -> int | None:
    """Return by how much memory grows while the artefact is loaded and run at the largest batch size."""
    count = call_size(shared.facts, max(settings.batches))
    with peak_growth() as peak:
        session = open_session(path, settings.threads)
        session.run(None, shared.feeds.at(0, count))
        del session
    return peak.growth


def _keep(path: Path, folder: Path) -> Path:
    """Put the artefact into the task's folder in one step."""
    target = folder / "model.onnx"
    write_file(target, path.read_bytes())
    return target


def _seed(seed: int) -> None:
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
