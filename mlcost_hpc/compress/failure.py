"""Failures classified: what kind it was, in one line, and what to do next."""

from __future__ import annotations

import errno
from typing import Literal

import msgspec

from mlcost_hpc.errors import CompressError

Cause = Literal["memory", "time", "disk", "killed", "crash", "model", "data", "metric", "export", "library"]

PASSING: frozenset[str] = frozenset({"memory", "time", "disk", "killed", "damaged"})
"""Causes that may be gone at the next try: a second submit runs these tasks again."""

_NEXT: dict[str, str] = {
    "memory": "give the tasks more memory (--mem), or lower samples and calibration_samples",
    "time": "raise task_minutes in the plan, or lower samples",
    "disk": "make room (or raise the quota) and submit again: only what is missing runs",
    "killed": "submit again: only what is missing runs",
    "crash": "see the task's log.txt; a library crashed on this model",
    "model": "check the model with onnx.checker and load it with onnxruntime",
    "data": "check names, shapes and types of the arrays in the .npz file",
    "metric": "call the metric by hand with the model's outputs; see log.txt",
    "export": "export the model yourself and give the ONNX file",
    "library": "see the task's log.txt; another recipe may work",
}

_MEMORY_WORDS = (
    "bad_alloc",
    "failed to allocate memory",
    "out of memory",
    "cannot allocate memory",
    "can't allocate",
)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A failure for people: its cause, one line, and the next step."""

    cause: str
    reason: str
    next_step: str


def explain(error: BaseException) -> Explanation:
    """Return what an error means."""
    cause = _cause(error)
    return Explanation(cause=cause, reason=_reason(error), next_step=_NEXT[cause])


def explain_exit(code: int, *, out_of_time: bool) -> Explanation:
    """Return what it means that a task's process ended without a result.

    Args:
        code: exit code; negative = signal, as :mod:`multiprocessing` gives it.
        out_of_time: it was ended because it took too long.
    """
    if out_of_time:
        return Explanation(cause="time", reason="took longer than task_minutes", next_step=_NEXT["time"])
    if code == -9:
        return Explanation(
            cause="memory", reason="killed, most likely out of memory", next_step=_NEXT["memory"]
        )
    if code == -15:
        return Explanation(cause="killed", reason="ended from outside", next_step=_NEXT["killed"])
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return Explanation(cause="crash", reason=f"the process crashed ({how})", next_step=_NEXT["crash"])


def _cause(error: BaseException) -> Cause:
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS):
        return "memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk"
    by_name: dict[str, Cause] = {"MetricError": "metric", "ExportError": "export", "LoadError": "model"}
    if type(error).__name__ in by_name:
        return by_name[type(error).__name__]
    if isinstance(error, CompressError):
        return "data" if ".npz" in text else "model"
    return "library"


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0][:300] if lines else ""
    if isinstance(error, CompressError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
