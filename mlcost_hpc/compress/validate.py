"""What is inside a plan's files, checked before anything is submitted; nothing of them is run.

Models are parsed but not opened by a runtime, data files are read as far as their headers, code is parsed but
not imported.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from mlcost_hpc.compress.feeds import check_feeds
from mlcost_hpc.compress.onnxfile import inspect
from mlcost_hpc.compress.plan import METRICS
from mlcost_hpc.errors import CompressError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.compress.plan import ModelSpec, Plan

OLDEST_OPSET = 7
"""ONNX Runtime promises to run models of this operator set and later."""

_DATA = ("data", "calibration", "training")


def check_contents(plan: Plan, path: Path) -> None:
    """Check the files of a plan whose names have been checked.

    Args:
        plan: the plan.
        path: its file.

    Raises:
        ConfigError: names every model with what is wrong with its files.
    """
    folder = path.resolve().parent
    problems = [
        f"model {model.name!r}: {problem}" for model in plan.model for problem in _problems(model, folder)
    ]
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))


def _problems(model: ModelSpec, folder: Path) -> list[str]:
    problems = [
        problem
        for key, name in (("factory", model.factory), ("metric", model.metric))
        if name is not None and name not in METRICS
        for problem in _check_function(key, name, folder)
    ]
    if model.onnx is None:
        return problems
    try:
        facts = inspect(folder / model.onnx)
    except CompressError as error:
        return [*problems, f"onnx: {error}"]
    if facts.opset < OLDEST_OPSET:
        problems.append(
            f"onnx: operator set {facts.opset} is too old: ONNX Runtime runs {OLDEST_OPSET} and later; "
            "export the model again"
        )
    for key in _DATA:
        name = getattr(model, key)
        if name is not None:
            try:
                check_feeds(folder / name, facts.inputs)
            except CompressError as error:
                problems.append(f"{key}: {error}")
    return problems


def _check_function(key: str, name: str, folder: Path) -> list[str]:
    """Return what is wrong with ``file.py:function``, without running any of the file."""
    place, _, function = name.rpartition(":")
    if not place.endswith(".py"):
        return []
    try:
        tree = ast.parse((folder / place).read_bytes(), filename=place)
    except (SyntaxError, ValueError) as error:
        return [f"{key}: {place} is no Python: {error}"]
    except OSError as error:
        return [f"{key}: {place}: {error.strerror}"]
    return [] if function in _names(tree) else [f"{key}: {place} has no function {function}"]


def _names(tree: ast.Module) -> set[str]:
    """Return all names that a module's text gives to anything: what is not among them cannot be there."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name) for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
