"""A plan expanded to tasks, each with a content hash: the same inputs give the same task, whoever asks.

The hash covers the bytes of model, data and named code files, the recipe with its options, limits and
settings. What is finished under a hash never runs again, nor after a change elsewhere in the plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mlcost_hpc.compress.plan import Limits, ModelSpec, Plan, recipes_of
from mlcost_hpc.compress.recipes import Recipe
from mlcost_hpc.errors import CompressError

FORMAT = 1
"""Raised when results of before are no longer comparable."""

_ID_LENGTH = 16
_FILE_KEYS = ("onnx", "state", "data", "calibration", "training")
_CODE_KEYS = ("factory", "metric")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all tasks; see :class:`~mlcost_hpc.compress.plan.Plan`."""

    threads: int
    batches: tuple[int, ...]
    serving: tuple[str, ...]
    samples: int
    calibration_samples: int
    seed: int


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model with absolute paths.

    Attributes:
        key: hash of everything that what is shared by its tasks depends on.
        spec: as in the plan, with absolute paths.
        size: bytes of the model's file.
        limits: what its candidates must keep to.
        hashes: plan key -> SHA-256 of that file.
    """

    key: str
    spec: ModelSpec
    size: int
    limits: Limits
    hashes: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.spec.name


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One model and one recipe.

    Attributes:
        id: content hash, also the name of its folder.
        model: model name.
        recipe: the recipe.
    """

    id: str
    model: str
    recipe: Recipe


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All tasks of a batch."""

    format: int
    name: str
    plan: str
    task_minutes: float
    settings: Settings
    models: tuple[Model, ...]
    tasks: tuple[Task, ...]

    def model(self, name: str) -> Model:
        """Return a model by its name."""
        return next(model for model in self.models if model.name == name)

    def task(self, task_id: str) -> Task:
        """Return a task by its id.

        Raises:
            CompressError: the batch has no such task.
        """
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise CompressError(f"this batch has no task {task_id}")


def expand(plan: Plan, plan_path: Path) -> Manifest:
    """Return the tasks of a plan.

    Raises:
        ConfigError: a recipe is wrong.
        CompressError: a file cannot be read.
    """
    folder = plan_path.resolve().parent
    settings = Settings(
        threads=plan.threads,
        batches=tuple(dict.fromkeys(plan.batches)),
        serving=plan.serving,
        samples=plan.samples,
        calibration_samples=plan.calibration_samples,
        seed=plan.seed,
    )
    models = tuple(_model(spec, plan, settings, folder) for spec in plan.model)
    tasks = tuple(
        Task(id=task_id(model, recipe), model=model.name, recipe=recipe)
        for model in models
        for recipe in recipes_of(plan, model.spec)
    )
    return Manifest(
        format=FORMAT,
        name=plan.name,
        plan=str(plan_path.resolve()),
        task_minutes=plan.task_minutes,
        settings=settings,
        models=models,
        tasks=tasks,
    )


def task_id(model: Model, recipe: Recipe) -> str:
    """Return the content hash of a task."""
    return _digest({"model": model.key, "limits": model.limits, "recipe": recipe})


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        CompressError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CompressError(f"{path}: {error.strerror}") from error


def _model(spec: ModelSpec, plan: Plan, settings: Settings, folder: Path) -> Model:
    absolute = _absolute(spec, folder)
    hashes = {
        key: hash_file(Path(value)) for key in _FILE_KEYS if (value := getattr(absolute, key)) is not None
    }
    for key in _CODE_KEYS:
        place = (getattr(absolute, key) or "").rpartition(":")[0]
        if place.endswith(".py"):
            hashes[key] = hash_file(Path(place))
    content = {"format": FORMAT, "files": hashes, "settings": settings} | {
        key: (getattr(spec, key) or "").rpartition(":")[2] for key in _CODE_KEYS
    }
    return Model(
        key=_digest(content),
        spec=absolute,
        size=Path(absolute.onnx or absolute.state or "").stat().st_size,
        limits=spec.limits or plan.limits,
        hashes=hashes,
    )


def _absolute(spec: ModelSpec, folder: Path) -> ModelSpec:
    changes = {
        key: str((folder / value).resolve())
        for key in _FILE_KEYS
        if (value := getattr(spec, key)) is not None
    }
    for key in _CODE_KEYS:
        place, _, function = (getattr(spec, key) or "").rpartition(":")
        if place.endswith(".py"):
            changes[key] = f"{(folder / place).resolve()}:{function}"
    return msgspec.structs.replace(spec, **changes)


def _digest(content: object) -> str:
    """Return a short hash of plain data, independent of the order of keys."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:_ID_LENGTH]
