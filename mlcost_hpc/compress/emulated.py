"""A candidate checked on a processor that this machine has not, by QEMU's user mode.

``qemu-x86_64 -cpu Haswell`` runs this very Python with the instructions of a processor without VNNI and
without AVX-512: its results are those of such a node, its speed says nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlcost_hpc.compress.apart import check_apart
from mlcost_hpc.errors import CompressError, SlurmMissingError

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.check import Check
    from mlcost_hpc.compress.manifest import Task

QEMU = "qemu-x86_64"
SAMPLES = 8
"""Samples of a check: an emulated processor is a hundred times slower."""

TIMEOUT_S = 600.0


def check_emulated(
    batch: Batch, task: Task, cpu: str, *, samples: int = SAMPLES, timeout_s: float = TIMEOUT_S
) -> Check:
    """Run a task's artefact on an emulated processor, and write what came of it.

    Args:
        batch: the batch folder.
        task: whose artefact.
        cpu: QEMU's name of the processor: ``Haswell``, ``max``.
        samples: how many samples to run at most.
        timeout_s: seconds after which it is given up.

    Raises:
        CompressError: QEMU is not installed, does not know the processor, or the artefact does not run there.
    """
    program = [QEMU, "-cpu", cpu, sys.executable, "-m", "mlcost_hpc.compress.apart"]
    try:
        return check_apart(program, batch, task, samples, f"an emulated {cpu}", timeout_s)
    except SlurmMissingError:
        raise CompressError(f"{QEMU} is not on PATH: install qemu-user (7.2 or later)") from None
