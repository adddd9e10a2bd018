"""The way from a changed torch module back to an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods.base import Subject

if TYPE_CHECKING:
    from torch import nn

    from mlcost_hpc.compress.methods.base import Workshop

_EXAMPLES = 8


def exported(module: nn.Module, shop: Workshop, name: str) -> Subject:
    """Return a module with its ONNX file, checked at two batch sizes.

    Raises:
        ExportError: the module cannot be exported; a module broken by pruning shows here.
    """
    from mlcost_hpc.compress.torchmodel import export

    target = shop.path(name)
    export(module, shop.calibration.at(0, _EXAMPLES), target)
    return Subject(onnx=target, module=module)
