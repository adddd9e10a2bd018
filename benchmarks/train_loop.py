"""What the resumable loop costs per step: alone, and with two processes that agree after each step.

Writes build/bench/train_loop.json.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch.multiprocessing as mp

from mlcost_hpc.train import Run, join

OUT = Path("build/bench")


def measure(folder: str, steps: int) -> float:
    """Return the seconds per empty step."""
    with Run(folder, save_every=10**9, environment={}) as run:
        began = time.perf_counter()
        for _ in run.steps(steps):
            pass
        return (time.perf_counter() - began) / steps


def one_of_two(rank: int, folder: str, steps: int) -> None:
    """Run one of two processes; the first leaves the result in a file."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    join()
    seconds = measure(folder, steps)
    if rank == 0:
        Path(folder, "seconds").write_text(repr(seconds))


def main() -> None:
    """Measure, print, and write the JSON."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        alone = statistics.median(measure(f"{folder}/alone{n}", 100_000) for n in range(5))
        os.environ["MASTER_PORT"] = str(20000 + os.getpid() % 20000)
        mp.spawn(one_of_two, args=(f"{folder}/two", 5_000), nprocs=2)
        two = float(Path(folder, "two", "seconds").read_text())
    report = {
        "one_process_us": alone * 1e6,
        "two_processes_us": two * 1e6,
        "share_of_a_100_ms_step": {"one": alone / 0.1, "two": two / 0.1},
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    (OUT / "train_loop.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{alone * 1e6:.1f} us a step alone, {two * 1e6:.0f} us with two processes")


if __name__ == "__main__":
    main()
