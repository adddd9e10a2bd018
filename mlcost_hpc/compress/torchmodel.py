"""Torch models: built by the user's own function, filled from a state dict, exported to ONNX and checked."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.evaluate import closeness, load_function
from mlcost_hpc.compress.onnxfile import Port
from mlcost_hpc.compress.runtime import first_line, open_session
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from torch import nn

    Array = np.ndarray[Any, Any]

EXPORT_TOLERANCE = 1e-3
"""Largest relative difference between torch and the exported file."""

OPSET = 20


class ExportError(CompressError):
    """A torch model cannot be written as an ONNX file that gives the same answers."""


def load_module(factory: str, state: Path) -> nn.Module:
    """Return the module in evaluation mode.

    The state is read with ``weights_only=True``: a file can hold tensors, it cannot run code.

    Raises:
        CompressError: the factory fails, the file is no state dict, or it does not fit the module.
    """
    import torch

    build = load_function(factory)
    try:
        module: nn.Module = build()
    except Exception as error:
        raise CompressError(f"{factory} failed: {type(error).__name__}: {first_line(error)}") from error
    try:
        content = torch.load(state, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CompressError(
            f"{state.name} is no state dict of plain tensors (save model.state_dict()): {first_line(error)}"
        ) from error
    try:
        module.load_state_dict(content)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CompressError(f"{state.name} does not fit {factory}: {first_line(error)}") from error
    return module.eval()


def export(module: nn.Module, example: dict[str, Array], target: Path, *, opset: int = OPSET) -> None:
    """Write a module as one ONNX file that takes any batch size, and check it at two batch sizes.

    Args:
        module: the module; its forward takes the inputs in the example's order.
        example: input name -> array with at least three samples.
        target: the file to write.
        opset: version of the operator set.

    Raises:
        ExportError: neither exporter gives a file with the same answers.
    """
    problems = []
    module.eval()
    for exporter in (_export_dynamo, _export_traced):
        try:
            exporter(module, example, target, opset)
            check_export(module, example, target)
        except Exception as error:  # noqa: BLE001 - exporters raise what they like; the other may work
            problems.append(f"{exporter.__name__.removeprefix('_export_')}: {first_line(error)}")
            target.unlink(missing_ok=True)
        else:
            return
    raise ExportError("export to ONNX failed: " + "; ".join(problems))


def check_export(module: nn.Module, example: dict[str, Array], path: Path) -> None:
    """Compare the file with the module at two batch sizes.

    Raises:
        ExportError: the outputs differ.
    """
    session = open_session(path, 1)
    for size in (1, 3):
        inputs = {name: array[:size] for name, array in example.items()}
        expected = run_module(module, list(inputs.values()))
        names = [item.name for item in session.get_inputs()]
        found = session.run(None, dict(zip(names, inputs.values(), strict=True)))
        relative, _ = closeness(expected, found)
        if not relative <= EXPORT_TOLERANCE:
            raise ExportError(f"the file's outputs differ by {relative:.2g} relative at batch {size}")


def run_module(module: nn.Module, inputs: Sequence[Array]) -> list[Array]:
    """Return the module's outputs as arrays."""
    import torch

    with torch.no_grad():
        result = module(*(torch.from_numpy(array) for array in inputs))
    parts = result if isinstance(result, tuple | list) else [result]
    return [part.numpy() for part in parts]


def ports_of(arrays: dict[str, Array]) -> list[Port]:
    """Return the inputs that such arrays would feed, with any batch size."""
    return [
        Port(name=name, dtype=array.dtype.name, shape=(None, *array.shape[1:]))
        for name, array in arrays.items()
    ]


def _export_dynamo(module: nn.Module, example: dict[str, Array], target: Path, opset: int) -> None:
    import torch
    from torch.export import Dim

    batch = Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(array[:2].copy()) for array in example.values()),
            str(target),
            dynamo=True,
            dynamic_shapes=tuple({0: batch} for _ in example),
            input_names=list(example),
            external_data=False,
            opset_version=opset,
            verbose=False,
        )


def _export_traced(module: nn.Module, example: dict[str, Array], target: Path, opset: int) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(array[:2].copy()) for array in example.values()),
            str(target),
            dynamo=False,
            dynamic_axes={name: {0: "batch"} for name in example},
            input_names=list(example),
            opset_version=min(opset, 17),
        )
