"""A training to inject faults into: every step is noted outside the run folder, and it ends when told so.

Environment: ``FAULT_FOLDER``, a folder shared with the test. In it, ``odometer-<task>`` gets one line a step
(``<restart> <step> <time>``); ``enough`` ends the training as finished; while ``hold`` exists a save stops
before its checkpoint gets its name and says so in ``holding``.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

import torch

from mlcost_hpc.train import Run, checkpoint, join
from tests.live.fault_odometer import Odometer

if TYPE_CHECKING:
    from pathlib import Path


def hold_saves(folder: Path) -> None:
    """Make saves wait while the file ``hold`` exists."""
    publish = checkpoint.store.publish

    def waiting(temporary: Path, final: Path) -> None:
        if (folder / "hold").exists():
            (folder / "holding").write_text(str(os.getpid()))
            while (folder / "hold").exists():
                time.sleep(0.05)
        publish(temporary, final)

    checkpoint.store.publish = waiting


def main() -> None:
    """Train until told that it is enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--save-every", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=16, help="the state has about 4 * width ** 2 bytes")
    parser.add_argument("--step-time", type=float, default=0.05)
    options = parser.parse_args()
    place = join()
    odometer = Odometer.of_this_process(place.rank)
    hold_saves(odometer.folder)
    model = torch.nn.Linear(options.width, options.width)
    with Run(save_every=options.save_every) as run:
        run.state(model=model)
        for step in run.steps(1_000_000):
            odometer.note(step)
            time.sleep(options.step_time)
            if odometer.is_enough:
                run.stop("enough")


if __name__ == "__main__":
    main()
