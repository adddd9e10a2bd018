"""A first plan for a list of ONNX files, to run as it is or to edit."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def plan_text(models: Sequence[Path], recipes: Sequence[str], folder: Path) -> str:
    """Return a plan that will lie in ``folder``; a ``.npz`` beside a model with its name is its data.

    Raises:
        UsageError: there is no model.
    """
    if not models:
        raise UsageError("no model was named")
    lines = ['name = "models"', f"recipes = {_quoted(list(recipes))}", "", "[limits]", "max_loss = 0.01"]
    names: set[str] = set()
    for model in models:
        name = _name(model, names)
        names.add(name)
        lines += ["", "[[model]]", f"name = {_quoted(name)}", f"onnx = {_quoted(_relative(model, folder))}"]
        data = model.with_suffix(".npz")
        if data.is_file():
            lines.append(f"data = {_quoted(_relative(data, folder))}")
    return "\n".join(lines) + "\n"


def _name(model: Path, taken: set[str]) -> str:
    """Return a name from the file's, made different from the others."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem).strip("-._")[:70] or "model"
    number = 1
    name = stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _quoted(value: object) -> str:
    # JSON's texts and lists are TOML's.
    return msgspec.json.encode(value).decode()
