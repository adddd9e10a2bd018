"""The plan a user writes (``plan.toml``): models, recipes, limits. Reading checks all that can be checked.

Paths are relative to the plan's folder. Code of the user's own is named ``file.py:function`` or
``package.module:function``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlcost_hpc.compress.recipes import Recipe, resolve_recipes
from mlcost_hpc.errors import ConfigError
from mlcost_hpc.tomlfile import convert_toml

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_Positive = Annotated[int, msgspec.Meta(gt=0)]

METRICS = ("auto", "accuracy", "agreement", "closeness")
"""Built-in metrics; anything else is ``file.py:function``."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a candidate must keep to.

    Attributes:
        max_loss: largest drop of the metric (0.01 = one point of accuracy).
        max_relative_error: largest relative error of the outputs where there is no metric.
        min_speedup: smallest speed-up at every batch size that was asked for.
        min_shrink: smallest ratio of the sizes; below it the recipe did nothing.
    """

    max_loss: float = 0.01
    max_relative_error: float = 0.1
    min_speedup: float = 1.0
    min_shrink: float = 1.02


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the plan.

    Attributes:
        name: its name in reports and folders.
        onnx: an ONNX file; or ``factory`` and ``state``.
        factory: the function that builds the torch module.
        state: its weights, a state dict (read with ``weights_only=True``).
        data: evaluation data, ``.npz``: one array an input, first axis = samples, and ``labels``.
        metric: ``auto``, ``accuracy``, ``agreement``, ``closeness``, or a function
            ``(outputs, data) -> float``, higher is better.
        calibration: ``.npz`` with inputs; else inputs of ``training``, else of ``data`` are used.
        training: ``.npz`` with inputs and labels, for recipes that train.
        recipes: recipes of this model; else the plan's.
        limits: limits of this model; else the plan's.
    """

    name: str
    onnx: str | None = None
    factory: str | None = None
    state: str | None = None
    data: str | None = None
    metric: str = "auto"
    calibration: str | None = None
    training: str | None = None
    recipes: tuple[str, ...] | None = None
    limits: Limits | None = None


class RecipeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named recipe: methods with their options, in order."""

    name: str
    steps: tuple[dict[str, Any], ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole plan.

    Attributes:
        name: name of the batch.
        folder: where the batch's results go; else ``<plan>-batch`` beside the plan.
        threads: threads of one inference, as it will be served.
        batches: batch sizes that are measured and must not be slower.
        serving: node classes that will serve the models (see ``mlcost compress node``); empty = any.
        samples: at most so many samples are scored.
        calibration_samples: at most so many samples calibrate.
        seed: of everything random.
        task_minutes: a task that takes longer is ended and reported as failed.
        recipes: recipes for all models that name none: methods, chains (``a+b``), ``auto``, or own names.
        recipe: recipes of the user's own.
        limits: what candidates must keep to.
        model: the models.
    """

    name: str
    folder: str | None = None
    threads: _Positive = 1
    batches: tuple[_Positive, ...] = (1, 32)
    serving: tuple[str, ...] = ()
    samples: _Positive = 1000
    calibration_samples: _Positive = 128
    seed: int = 0
    task_minutes: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    recipes: tuple[str, ...] = ("auto",)
    recipe: tuple[RecipeSpec, ...] = ()
    limits: Limits = Limits()
    model: tuple[ModelSpec, ...] = ()


def load_plan(path: Path) -> Plan:
    """Return the plan of a TOML file, checked.

    Raises:
        ConfigError: names the file, the key and what was expected; all missing files at once.
    """
    plan = read_plan(path)
    problems = check_plan(plan, path.resolve().parent)
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return plan


def read_plan(path: Path) -> Plan:
    """Return the plan of a TOML file as it is written there.

    Raises:
        ConfigError: names the file, the key and what was expected.
    """
    return convert_toml(path, Plan)


def check_plan(plan: Plan, folder: Path) -> list[str]:
    """Return everything that is wrong with a plan whose relative paths start at ``folder``."""
    problems = []
    if not _NAME.fullmatch(plan.name):
        problems.append(f"name: {plan.name!r} is no name (letters, digits, . _ -)")
    if not plan.model:
        problems.append("model: there is no model")
    counts = Counter(model.name for model in plan.model)
    problems += [f"model: {name!r} is there twice" for name, count in counts.items() if count > 1]
    for model in plan.model:
        problems += [f"model {model.name!r}: {problem}" for problem in _check_model(model, folder)]
        try:
            recipes_of(plan, model)
        except ConfigError as error:
            problems.append(f"model {model.name!r}: {error}")
    return problems


def recipes_of(plan: Plan, model: ModelSpec) -> tuple[Recipe, ...]:
    """Return the recipes for one model, in the plan's order.

    Raises:
        ConfigError: a recipe or method does not exist, or an option is wrong.
    """
    own = {spec.name: spec.steps for spec in plan.recipe}
    return resolve_recipes(model.recipes if model.recipes is not None else plan.recipes, own)


def _check_model(model: ModelSpec, folder: Path) -> list[str]:
    problems = []
    if not _NAME.fullmatch(model.name):
        problems.append("this is no name (letters, digits, . _ -)")
    if (model.onnx is None) == (model.factory is None):
        problems.append("give either onnx, or factory and state")
    if model.factory is not None:
        problems += _check_code("factory", model.factory, folder)
        if model.state is None:
            problems.append("state: the weights are missing")
    if model.metric not in METRICS:
        problems += _check_code("metric", model.metric, folder)
    for key in ("onnx", "state", "data", "calibration", "training"):
        value = getattr(model, key)
        if value is not None and not (folder / value).is_file():
            problems.append(f"{key}: {value} is not a file")
    return problems


def _check_code(key: str, text: str, folder: Path) -> list[str]:
    """Return what is wrong with the name of a function."""
    place, colon, function = text.rpartition(":")
    if not colon or not function.isidentifier():
        return [f"{key}: {text!r} is not file.py:function"]
    if place.endswith(".py") and not (folder / place).is_file():
        return [f"{key}: {place} is not a file"]
    return []
