"""How long a save holds up training: in the background against torch.save, for 1 GiB of state.

Writes build/bench/train_saves.json. The same training (matrix products on all CPUs) runs with each way in
turn, and once without saves; the last save comes after the last step, so each way makes the same number of
them and all are on disk (or, for plain torch.save, on their way) in the end. The disk is the one the build
folder is on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mlcost_hpc.train import Run
from mlcost_hpc.train.attempts import read_attempts

if TYPE_CHECKING:
    from collections.abc import Callable

OUT = Path("build/bench")


def make_model(size: int) -> torch.nn.Module:
    """Return a model with ``size`` bytes of weights in 16 layers."""
    width = int((size / 16 / 4) ** 0.5)
    return torch.nn.Sequential(*(torch.nn.Linear(width, width, bias=False) for _ in range(16)))


def work() -> None:
    """Compute for about a tenth of a second."""
    a = torch.ones(700, 700)
    for _ in range(6):
        a = (a @ a).clamp_(-1, 1)


def with_run(model: torch.nn.Module, folder: Path, saves: str, steps: int, every: int) -> dict[str, float]:
    """Train with our loop; return the stall of a save and the whole time."""
    began = time.monotonic()
    with Run(folder, save_every=every, saves=saves, environment={}) as run:  # type: ignore[arg-type]
        run.state(model=model)
        times = []
        at = time.monotonic()
        for _ in run.steps(steps):
            times.append(time.monotonic() - at)
            at = time.monotonic()
            work()
    (attempt,) = read_attempts(folder)
    step_s = statistics.median(times)
    assert attempt.save_seconds is not None
    return {
        # What the step at a save took longer than others: the copy, or the whole save.
        "stall_s": statistics.median(times[every::every]) - step_s,
        "first_stall_s": times[every] - step_s,
        "write_s": attempt.save_seconds,
        "step_s": step_s,
        "total_s": time.monotonic() - began,
    }


def without_saves(steps: int) -> dict[str, float]:
    """Train and save nothing."""
    times = []
    began = at = time.monotonic()
    for _ in range(steps):
        work()
        times.append(time.monotonic() - at)
        at = time.monotonic()
    return {"step_s": statistics.median(times), "total_s": time.monotonic() - began}


def with_torch_save(
    model: torch.nn.Module, folder: Path, steps: int, every: int, sync: Callable[[int], None]
) -> dict[str, float]:
    """Train with a plain torch.save every so many steps."""
    folder.mkdir()
    began = time.monotonic()
    stalls = []
    for step in range(1, steps + 1):
        work()
        if step % every == 0:
            at = time.monotonic()
            path = folder / f"{step}.pt"
            with path.open("wb") as file:
                torch.save({"model": model.state_dict()}, file)
                file.flush()
                sync(file.fileno())
            stalls.append(time.monotonic() - at)
            for old in sorted(folder.glob("*.pt"), key=lambda p: int(p.stem))[:-2]:
                old.unlink()
    return {"stall_s": statistics.median(stalls), "total_s": time.monotonic() - began}


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--saves", type=int, default=4, help="saves with each way")
    parser.add_argument("--every", type=int, default=120, help="steps between saves")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    model = make_model(options.mib * 2**20)
    steps = options.every * options.saves
    work()
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        folder = Path(name)
        found = {
            "no saves": without_saves(steps),
            "background": with_run(model, folder / "background", "background", steps, options.every),
            "blocking": with_run(model, folder / "blocking", "blocking", steps, options.every),
            "torch.save": with_torch_save(model, folder / "plain", steps, options.every, lambda _: None),
            "torch.save+fsync": with_torch_save(model, folder / "synced", steps, options.every, os.fsync),
        }
    unsaved_s = found["no saves"]["total_s"]
    for figures in found.values():
        figures["cost_of_a_save_s"] = (figures["total_s"] - unsaved_s) / options.saves
    plain, synced = found["torch.save"]["stall_s"], found["torch.save+fsync"]["stall_s"]
    ours = found["background"]["stall_s"]
    report = {
        "state_mib": options.mib,
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "ways": found,
        "ratios": {"torch.save / background": plain / ours, "torch.save+fsync / background": synced / ours},
    }
    (OUT / "train_saves.json").write_text(json.dumps(report, indent=2) + "\n")
    for way, figures in found.items():
        print(
            f"{way:17} stall {figures.get('stall_s', 0.0):.3f} s, whole run {figures['total_s']:.1f} s: "
            f"{figures['cost_of_a_save_s']:.2f} s a save"
        )
    print(
        f"torch.save holds up training {plain / ours:.1f} times as long, with fsync {synced / ours:.1f} times"
    )


if __name__ == "__main__":
    main()
