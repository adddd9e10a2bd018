"""Train the digits with several processes (DDP, or FSDP with --fsdp), stoppable and resumable as a whole.

torchrun --nproc-per-node 2 examples/train_ddp.py --steps 500
srun --ntasks 2 python examples/train_ddp.py --steps 500
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from mlcost_hpc.train import BatchOrder, Run, Sharded, join


def main() -> None:
    """Train with all processes and print the final loss from the first one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", default="runs/digits-ddp", help="run folder outside the launcher")
    parser.add_argument("--fsdp", action="store_true", help="shard the model instead of copying it")
    parser.add_argument("--step-time", type=float, default=0.0, help="sleep until a step has taken this long")
    arguments = parser.parse_args()

    place = join()
    torch.manual_seed(arguments.seed)
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    model: nn.Module = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    order = BatchOrder(len(images), 64, seed=arguments.seed, rank=place.rank, world=place.world)
    if arguments.fsdp:
        fully_shard(model, mesh=init_device_mesh("cpu", (place.world,)))
    elif place.world > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    with Run(arguments.dir) as run:
        if arguments.fsdp:
            run.state(data=order)
            run.sharded_state(net=Sharded(model, optimizer))
        else:
            run.state(model=model, optimizer=optimizer, data=order)
        for step in run.steps(arguments.steps):
            began = time.monotonic()
            batch = order.batch(step)
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0 and place.rank == 0:
                print(f"step {step} loss {loss.item():.6f}", flush=True)
            time.sleep(max(0.0, began + arguments.step_time - time.monotonic()))

        model.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(images), labels)
        if place.rank == 0:
            print(f"final loss {loss.item()!r}", flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
