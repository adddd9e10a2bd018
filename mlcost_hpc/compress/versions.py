"""Versions of the libraries that decide a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from mlcost_hpc import __version__

_LIBRARIES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "onnxslim",
    "torch",
    "torchao",
    "torch-pruning",
    "nncf",
    "openvino",
)


def library_versions() -> dict[str, str]:
    """Return the version of each library that is installed, of Python and of this package."""
    found = {"mlcost-hpc": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
