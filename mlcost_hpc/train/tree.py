"""Walking through saved state: nested dicts, lists and tuples with tensors and plain values as leaves."""

from __future__ import annotations

from typing import Any

import torch

from mlcost_hpc.errors import UsageError

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


def check_loadable(value: object, name: str) -> None:
    """Make sure that ``value`` can be read back without running code from the file.

    Raises:
        UsageError: something in it is neither a tensor nor a plain value; the message names the place.
    """
    if isinstance(value, torch.Tensor) or type(value) in _PLAIN:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            check_loadable(key, f"a key of {name}")
            check_loadable(item, f"{name}[{key!r}]")
        return
    if type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            check_loadable(item, f"{name}[{index}]")
        return
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    msg = (
        f"{name} is a {kind}, which a checkpoint does not take: only tensors, numbers, text, lists, tuples "
        f"and dicts can be read back safely (turn arrays into tensors, objects into dicts)"
    )
    raise UsageError(msg)


def count_bytes(value: Any) -> int:
    """Return the bytes of all distinct tensor storages in a tree; plain values count as nothing."""
    seen: dict[int, int] = {}

    def visit(item: object) -> None:
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        elif isinstance(item, dict):
            for inner in item.values():
                visit(inner)
        elif isinstance(item, list | tuple):
            for inner in item:
                visit(inner)

    visit(value)
    return sum(seen.values())
