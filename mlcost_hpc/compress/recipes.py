"""Recipes: a name and a chain of methods with checked options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mlcost_hpc.compress.methods import METHODS
from mlcost_hpc.errors import ConfigError

AUTO = "auto"
"""The recipe that picks by architecture and steps down until a candidate keeps to the limits."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One method with its options."""

    method: str
    options: Mapping[str, Any] = {}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A chain of methods; the recipe ``auto`` has no steps of its own."""

    name: str
    steps: tuple[Step, ...] = ()


def resolve_recipes(
    names: Sequence[str], own: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[Recipe, ...]:
    """Return the recipes that the names mean: own ones, methods, chains ``a+b``, ``auto``.

    Raises:
        ConfigError: a name means nothing, an option does not exist or has the wrong type.
    """
    recipes = [_resolve(name, own) for name in dict.fromkeys(names)]
    if not recipes:
        raise ConfigError("recipes: there is none")
    return tuple(recipes)


def chain(name: str) -> Recipe:
    """Return the recipe that a chain of method names (``a+b``) means, with default options."""
    return _resolve(name, {})


def _resolve(name: str, own: Mapping[str, Sequence[Mapping[str, Any]]]) -> Recipe:
    if name in own:
        return Recipe(name=name, steps=tuple(_step(name, step) for step in own[name]))
    if name == AUTO:
        return Recipe(name=AUTO)
    return Recipe(name=name, steps=tuple(_step(name, {"method": part}) for part in name.split("+")))


def _step(recipe: str, given: Mapping[str, Any]) -> Step:
    options = {key: value for key, value in given.items() if key != "method"}
    method = given.get("method")
    if method not in METHODS:
        raise ConfigError(
            f"recipe {recipe!r}: {method!r} is no method (there are: {', '.join(METHODS)}, and {AUTO})"
        )
    try:
        checked = msgspec.convert(options, METHODS[method].options)
    except msgspec.ValidationError as error:
        raise ConfigError(f"recipe {recipe!r}: {method}: {error}") from None
    return Step(method=method, options=msgspec.to_builtins(checked))
