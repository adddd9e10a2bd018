"""One of several processes that train together, started by the tests.

    python ranks_worker.py FOLDER STEPS [--fsdp] [--hold-step N] [--small-files]

Says ``holding`` inside ``--hold-step`` and goes on after a line on stdin. ``--small-files`` makes every
write beyond 4 KiB fail in this process, as a spent quota would.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from mlcost_hpc.train import BatchOrder, Run, Sharded, join


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("steps", type=int)
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--hold-step", type=int, default=-1)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--saves", default="auto")
    parser.add_argument("--small-files", action="store_true")
    options = parser.parse_args()

    place = join()
    torch.manual_seed(place.rank)
    data = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
    model: nn.Module = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.3), nn.Linear(32, 1))
    order = BatchOrder(len(data), 16, rank=place.rank, world=place.world)
    if options.fsdp:
        fully_shard(model, mesh=init_device_mesh("cpu", (place.world,)))
    else:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if options.small_files:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    with Run(options.folder, save_every=options.save_every, saves=options.saves) as run:
        run.state(order=order)
        if options.fsdp:
            run.sharded_state(net=Sharded(model, optimizer))
        else:
            run.state(model=model, optimizer=optimizer)
        for step in run.steps(options.steps):
            if step == options.hold_step:
                print("holding", flush=True)
                sys.stdin.readline()
            loss = model(data[order.batch(step)]).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"result {loss.item()!r} {torch.rand(1).item()!r}", flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
