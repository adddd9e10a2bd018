"""One of two processes that share a batch; the second has less memory.

    python accumulate_worker.py

Says the parts it tried, the size it settled on, and its gradient beside that of the whole batch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mlcost_hpc.train import Accumulate, join


def main() -> None:
    place = join()
    room = 99 if place.rank == 0 else 6
    tried: list[int] = []
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(3, 1))
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(place.rank))
    y = torch.randn(40, 1, generator=torch.Generator().manual_seed(10 + place.rank))

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if len(x) not in tried:
            tried.append(len(x))
        out = model(x)
        if len(x) > room:
            raise torch.OutOfMemoryError("none left")
        return functional.mse_loss(out, y)

    accumulate = Accumulate(model)
    accumulate((x, y), loss_of)
    found = model.module.weight.grad.clone()
    again = Accumulate(model)
    again.load_state_dict(accumulate.state_dict())
    tried_first = list(tried)
    tried.clear()
    again((x, y), loss_of)
    print(f"tried {tried_first} then {tried} part {accumulate.part}", flush=True)
    model.zero_grad()
    functional.mse_loss(model(x), y).backward()
    torch.testing.assert_close(found, model.module.weight.grad)
    print("result alike", flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
