"""The objects whose state belongs into a checkpoint."""

from __future__ import annotations

import random
from typing import Any, Protocol, runtime_checkable

import torch

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train.tree import check_loadable


@runtime_checkable
class Stateful(Protocol):
    """Anything with torch's pair of methods: models, optimizers, schedulers, scalers, loaders, ..."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take a state back."""


class States:
    """Named objects, captured and restored together."""

    def __init__(self) -> None:
        self._objects: dict[str, Stateful] = {}

    def add(self, name: str, item: object) -> None:
        """Add an object under a name that is unique in the run.

        Raises:
            UsageError: the name is taken, or the object has no state that can be saved.
        """
        if name in self._objects:
            msg = f"there is already a state named {name!r}"
            raise UsageError(msg)
        self._objects[name] = _as_stateful(name, item)

    @property
    def is_empty(self) -> bool:
        """Whether no object was added."""
        return not self._objects

    def capture(self) -> dict[str, Any]:
        """Return the state of all objects; tensors are shared with them, not copied."""
        return {name: item.state_dict() for name, item in self._objects.items()}

    def check(self) -> None:
        """Make sure that everything captured can be read back safely.

        Raises:
            UsageError: naming the place of the first thing that cannot.
        """
        for name, state in self.capture().items():
            check_loadable(state, name)

    def load(self, saved: dict[str, Any]) -> None:
        """Put all objects back to a captured state.

        Raises:
            CheckpointError: the checkpoint is of a different set of objects, or one does not fit.
        """
        missing, surplus = self._objects.keys() - saved.keys(), saved.keys() - self._objects.keys()
        if missing or surplus:
            words = [f"lacks {', '.join(sorted(missing))}"] if missing else []
            words += [f"has {', '.join(sorted(surplus))} besides"] if surplus else []
            msg = f"the checkpoint was made by a different script: it {' and '.join(words)}"
            raise CheckpointError(msg)
        for name, item in self._objects.items():
            try:
                item.load_state_dict(saved[name])
            except (RuntimeError, KeyError, ValueError, TypeError) as error:
                msg = f"the checkpoint does not fit {name}: {error}"
                raise CheckpointError(msg) from error


def _as_stateful(name: str, item: object) -> Stateful:
    if isinstance(item, Stateful):
        return item
    if isinstance(item, torch.Generator):
        return _TorchGenerator(item)
    if isinstance(item, random.Random):
        return _PythonRandom(item)
    if hasattr(item, "bit_generator"):  # numpy.random.Generator, without importing NumPy
        return _NumpyGenerator(item)
    msg = (
        f"{name} ({type(item).__qualname__}) has no state_dict() and load_state_dict(); "
        f"small plain values go into run.values"
    )
    raise UsageError(msg)


class _TorchGenerator:
    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        return {"state": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["state"])


class _PythonRandom:
    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        return {"state": self._generator.getstate()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.setstate(state["state"])


class _NumpyGenerator:
    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        return {"state": _arrays_to_tensors(self._generator.bit_generator.state)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = _tensors_to_arrays(state["state"])


def _arrays_to_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays_to_tensors(item) for key, item in value.items()}
    if hasattr(value, "__array__"):
        return torch.tensor(value)
    return value


def _tensors_to_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensors_to_arrays(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value
