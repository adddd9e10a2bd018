"""A candidate checked on a processor that this machine has not, by QEMU's user mode.

``qemu-x86_64 -cpu Haswell`` runs this very Python with the instructions of a processor without VNNI and
without AVX-512: its results are those of such a node, its speed says nothing. This module is also the
program that runs in there: ``python -m mlcost_hpc.compress.emulated BATCH TASK SAMPLES``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.check import Check, check_here
from mlcost_hpc.compress.failure import explain
from mlcost_hpc.compress.node import node_class
from mlcost_hpc.errors import (
    CompressError,
    MlcostError,
    SlurmCommandError,
    SlurmMissingError,
    SlurmTimeoutError,
)
from mlcost_hpc.slurm.process import run_as_is

if TYPE_CHECKING:
    from mlcost_hpc.compress.manifest import Task

QEMU = "qemu-x86_64"
SAMPLES = 8
"""Samples of a check: an emulated processor is a hundred times slower."""

TIMEOUT_S = 600.0

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


def check_emulated(batch: Batch, task: Task, cpu: str, timeout_s: float = TIMEOUT_S) -> Check:
    """Run a task's artefact on an emulated processor, and write what came of it.

    Args:
        batch: the batch folder.
        task: whose artefact.
        cpu: QEMU's name of the processor: ``Haswell``, ``max``.
        timeout_s: seconds after which it is given up.

    Raises:
        CompressError: QEMU is not installed, does not know the processor, or the artefact does not run there.
    """
    words = [QEMU, "-cpu", cpu, sys.executable, "-m", "mlcost_hpc.compress.emulated"]
    what = f"{task.model} {task.recipe.name} on an emulated {cpu}"
    try:
        said = run_as_is(
            [*words, str(batch.folder), task.id, str(SAMPLES)],
            timeout_s=timeout_s,
            environ={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
        )
    except SlurmMissingError:
        raise CompressError(f"{QEMU} is not on PATH: install qemu-user (7.2 or later)") from None
    except SlurmTimeoutError:
        raise CompressError(f"{what}: not done in {timeout_s:.0f} s, too slow to emulate") from None
    except SlurmCommandError as error:
        lines = [line for line in f"{error.stderr}".splitlines() if line.strip()]
        raise CompressError(f"{what}: {lines[-1] if lines else error}") from None
    return msgspec.json.decode(said.stdout.splitlines()[-1], type=Check)


def processor_flags() -> frozenset[str]:
    """Return the flags of the processor that this process sees; ``/proc/cpuinfo`` is still the machine's."""
    # NumPy asks the processor itself when it is imported; np.show_runtime() prints the same table.
    features: dict[str, bool] = import_module("numpy._core._multiarray_umath").__cpu_features__
    return frozenset(name for ours, name in _KERNEL_NAMES.items() if features.get(ours))


def main(argv: list[str] | None = None) -> int:
    """Check one task's artefact in this process; prints the check; returns the exit code."""
    folder, task_id, samples = argv or sys.argv[1:]
    try:
        batch = Batch(Path(folder))
        manifest = batch.manifest()
        name = node_class(processor_flags())
        found = check_here(batch, manifest, manifest.task(task_id), on=name, samples=int(samples))
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
