"""Which steps were done when, in which run of a job: written by the trainees, read by the fault tests."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """One step that was done: in which run of the job (0 = the first), its number, and when (epoch)."""

    restart: int
    step: int
    at: float


class Odometer:
    """Appends one line a step to a file that is no part of the run folder."""

    def __init__(self, folder: Path, name: str, restart: int) -> None:
        self.folder = folder
        self._restart = restart
        self._file = os.open(folder / f"odometer-{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def of_this_process(cls, rank: int = 0) -> Odometer:
        """Return the one of this array task, or of this rank of a job."""
        name = os.environ.get("SLURM_ARRAY_TASK_ID") or str(rank)
        return cls(Path(os.environ["FAULT_FOLDER"]), name, int(os.environ.get("SLURM_RESTART_COUNT") or 0))

    def note(self, step: int) -> None:
        """Note that a step is done."""
        os.write(self._file, f"{self._restart} {step} {time.time():.3f}\n".encode())

    @property
    def is_enough(self) -> bool:
        """Whether the test has seen enough."""
        return (self.folder / "enough").exists()


def read_steps(folder: Path, name: str = "0") -> list[Step]:
    """Return the steps done so far, in order; a line being written is left out."""
    path = folder / f"odometer-{name}"
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [Step(int(a), int(b), float(c)) for a, b, c in (line.split() for line in lines)]


class Loss(NamedTuple):
    """Work that had to be done again."""

    steps: int
    seconds: float


def find_loss(steps: list[Step]) -> Loss:
    """Return the work that later runs of a job began again.

    A run loses what it did beyond the step at which the next one begins. Seconds are counted from the end
    of the last step that was kept to the end of the last step that was done.
    """
    restarts = sorted({step.restart for step in steps})
    runs = [[step for step in steps if step.restart == restart] for restart in restarts]
    lost, seconds = 0, 0.0
    for done, following in pairwise(runs):
        again = [step for step in done if step.step >= following[0].step]
        kept = [step for step in done if step.step < following[0].step]
        if again:
            began = kept[-1].at if kept else again[0].at
            lost += len(again)
            seconds += again[-1].at - began
    return Loss(lost, round(seconds, 2))
