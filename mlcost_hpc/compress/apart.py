"""A check in a process of its own, in which libraries see another processor than this machine's.

This module is also the program of that process: ``python -m mlcost_hpc.compress.apart BATCH TASK SAMPLES``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.check import Check, check_here
from mlcost_hpc.compress.failure import explain
from mlcost_hpc.compress.node import node_class
from mlcost_hpc.errors import CompressError, MlcostError, SlurmCommandError, SlurmTimeoutError
from mlcost_hpc.slurm.process import run_as_is

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.compress.manifest import Task

_KERNEL_NAMES = {
    "SSE2": "sse2",
    "AVX2": "avx2",
    "FMA3": "fma",
    "F16C": "f16c",
    "AVX512F": "avx512f",
    "AVX512BW": "avx512bw",
    "AVX512VNNI": "avx512_vnni",
}
"""NumPy's names of processor features -> the kernel's."""


def check_apart(
    program: Sequence[str], batch: Batch, task: Task, samples: int, where: str, timeout_s: float
) -> Check:
    """Run a check in another process and return what it found.

    Args:
        program: the words before the batch, the task and the number of samples.
        batch: the batch folder.
        task: whose artefact.
        samples: how many samples it runs at most.
        where: what the process sees, in words.
        timeout_s: seconds after which it is given up.

    Raises:
        CompressError: the artefact does not run there, or not in time.
        SlurmMissingError: the program is not there.
    """
    what = f"{task.model} {task.recipe.name} on {where}"
    try:
        said = run_as_is(
            [*program, str(batch.folder), task.id, str(samples)],
            timeout_s=timeout_s,
            environ={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
        )
    except SlurmTimeoutError:
        raise CompressError(f"{what}: not done in {timeout_s:.0f} s") from None
    except SlurmCommandError as error:
        lines = [line for line in f"{error.stderr}".splitlines() if line.strip()]
        raise CompressError(f"{what}: {lines[-1] if lines else error}") from None
    for line in reversed(said.stdout.splitlines()):
        with suppress(msgspec.MsgspecError):  # a library may have its say after us
            return msgspec.json.decode(line, type=Check)
    raise CompressError(f"{what}: ended without an answer")


def class_seen() -> str:
    """Return the class of the processor that this process sees; ``/proc/cpuinfo`` is still the machine's."""
    # NumPy asks the processor itself when it is imported; np.show_runtime() prints the same table.
    features: dict[str, bool] = import_module("numpy._core._multiarray_umath").__cpu_features__
    return node_class(frozenset(name for ours, name in _KERNEL_NAMES.items() if features.get(ours)))


def main(argv: list[str] | None = None) -> int:
    """Check one task's artefact in this process; prints the check; returns the exit code."""
    folder, task_id, samples = argv or sys.argv[1:]
    try:
        batch = Batch(Path(folder))
        manifest = batch.manifest()
        found = check_here(batch, manifest, manifest.task(task_id), on=class_seen(), samples=int(samples))
    except MlcostError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever a library raises in there is one line outside
        print(explain(error).reason, file=sys.stderr)
        return CompressError.exit_code
    print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
