"""Getting the processes of one training to know each other, under srun, torchrun or alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist

from mlcost_hpc.slurm.hostlist import expand_hostlist
from mlcost_hpc.train.groups import leave_all_at_exit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(NamedTuple):
    """Where a process stands among those that train together.

    Attributes:
        rank: its number.
        world: how many there are.
        local_rank: its number on its node, which is also the GPU it should take.
        address: host of the first process.
        port: where the first process listens.
    """

    rank: int
    world: int
    local_rank: int
    address: str
    port: int


def find_place(environment: Mapping[str, str]) -> Place | None:
    """Return this process's place from torchrun's or srun's environment; None when it is alone.

    Under srun the port is derived from the job id, so that two jobs on one node do not meet.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Place(
            int(environment["RANK"]),
            int(environment["WORLD_SIZE"]),
            int(environment.get("LOCAL_RANK", "0")),
            environment.get("MASTER_ADDR", "127.0.0.1"),
            int(environment.get("MASTER_PORT", "29500")),
        )
    world = int(environment.get("SLURM_STEP_NUM_TASKS") or 1)
    if world < 2:
        return None
    nodes = expand_hostlist(
        environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    )
    return Place(
        int(environment.get("SLURM_PROCID", "0")),
        world,
        int(environment.get("SLURM_LOCALID", "0")),
        environment.get("MASTER_ADDR") or (nodes[0] if nodes else "127.0.0.1"),
        int(environment.get("MASTER_PORT") or 20000 + int(environment.get("SLURM_JOB_ID", "0")) % 20000),
    )


def join(environment: Mapping[str, str] = os.environ) -> Place:
    """Start ``torch.distributed`` if there is more than one process, and choose this process's GPU.

    NCCL is used where there are GPUs, gloo elsewhere. Under srun and torchrun nothing else is needed;
    alone, nothing is started. What runs on CPUs is left at the end of the program; with NCCL call
    ``torch.distributed.destroy_process_group()`` at the end of the training, as PyTorch asks for.
    """
    place = find_place(environment)
    if place is None:
        return Place(0, 1, 0, "127.0.0.1", 0)
    has_gpus = torch.cuda.is_available()
    if has_gpus:
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    dist.init_process_group(
        "nccl" if has_gpus else "gloo",
        init_method=f"tcp://{place.address}:{place.port}" if "RANK" not in environment else "env://",
        rank=place.rank,
        world_size=place.world,
    )
    if not has_gpus:
        leave_all_at_exit()
    return place
