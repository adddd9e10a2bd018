"""ONNX Runtime sessions, always with an explicit number of threads.

Left to itself the runtime starts one thread a core of the machine and pins them; inside a Slurm allocation
that is slow at best and hangs or fails at worst.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import onnxruntime as ort


class LoadError(CompressError):
    """The runtime does not take the model."""


def load_runtime() -> ModuleType:
    """Return ONNX Runtime, imported with its telemetry switched off: nothing leaves a cluster from here."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    module: ModuleType = onnxruntime
    return module


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """Return a session on the CPU as a server would open it: all optimizations, ``threads`` threads.

    Raises:
        LoadError: the runtime does not take the model; its first line says why.
    """
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Two sessions are timed in turns: waiting threads of one must not spin on the other's cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:
        raise LoadError(f"ONNX Runtime does not load {path.name}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, shortened; the type's name where there is none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
