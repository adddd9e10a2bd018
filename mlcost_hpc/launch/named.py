"""A function named ``module:function``, imported where it runs and not where it is submitted."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from typing import TYPE_CHECKING, Any

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


class NamedFunction:
    """Calls ``module:function`` without arguments; importing waits until it is called.

    Args:
        name: ``module:function``.
        folder: folder that is searched for the module first, as ``python -m`` would.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    def __call__(self) -> Any:
        """Import the module and call the function."""
        sys.path.insert(0, str(self.folder))
        module, _, function = self.name.partition(":")
        return getattr(importlib.import_module(module), function)()


def is_function_name(word: str) -> bool:
    """Tell whether a word has the form ``module:function``."""
    return _NAME.fullmatch(word) is not None


def check_function(name: str, folder: Path) -> None:
    """Find the module of ``module:function`` without running it.

    Raises:
        UsageError: when there is no such module.
    """
    top = name.partition(":")[0].partition(".")[0]
    here = folder / top
    if here.with_suffix(".py").is_file() or here.is_dir():
        return
    if importlib.util.find_spec(top) is None:
        raise UsageError(f"there is no module {top!r} in {folder} or among the installed ones")
