"""The environment a job is submitted in (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What another job, or the user's defaults for other commands, would leave in this one: pinned CPUs, array
# numbers, memory settings. sbatch exports its environment to the job.
_OF_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SALLOC_", "PMIX_", "PMI_", "PMI2_")
_NEEDED = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS"})
# Devices, folder and price of the job this runs in mean nothing in the next one.
_OF_JOB = frozenset(
    {
        "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",
        "MLCOST_RUN_DIR", "MLCOST_TASK_ID", "MLCOST_GPU_MODEL", "MLCOST_GPUS", "MLCOST_PRICE_PER_HOUR",
        "MLCOST_GRACE_S", "MLCOST_KILL_WAIT_S",
    }
)  # fmt: skip


def submission_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what belongs to another job; how to find the controller stays."""
    inside_job = "SLURM_JOB_ID" in environ
    return {
        name: value
        for name, value in environ.items()
        if (name in _NEEDED or not name.startswith(_OF_SLURM)) and not (inside_job and name in _OF_JOB)
    }
