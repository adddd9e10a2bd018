"""The same trainee written for plain submitit, with its own ``checkpoint`` method, for comparison.

    python -m tests.live.fault_peer FOLDER PARTITION GRES MINUTES srun|direct

Submits it as submitit's documentation shows and prints the job id.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import submitit

from tests.live.fault_odometer import Odometer


class Counter(submitit.helpers.Checkpointable):
    """Counts steps; submitit pickles it when the job is told to stop."""

    def __init__(self) -> None:
        self.step = 0

    def __call__(self) -> int:
        """Count on until told that it is enough."""
        odometer = Odometer.of_this_process()
        while not odometer.is_enough:
            odometer.note(self.step)
            time.sleep(0.05)
            self.step += 1
        return self.step

    def __getstate__(self) -> dict[str, Any]:
        """Take as long to pickle as the test wants."""
        folder = Path(os.environ["FAULT_FOLDER"])
        if (folder / "hold").exists():
            (folder / "holding").write_text(str(os.getpid()))
            while (folder / "hold").exists():
                time.sleep(0.05)
        return self.__dict__


def main() -> None:
    """Submit one counter."""
    folder, partition, gres, minutes, way = sys.argv[1:]
    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(
        partition=partition,
        time=int(minutes),
        cpus_per_task=1,
        use_srun=way == "srun",
        additional_parameters={"gres": gres},
    )
    print(executor.submit(Counter()).job_id)


if __name__ == "__main__":
    main()
