"""The fault trainee without torch, for clusters whose Python has none: our signals, records and exit codes.

Its state is the number of steps done, written in one atomic step. See ``fault_trainee.py`` for its files.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mlcost_hpc.train import atomic
from mlcost_hpc.train.attempts import new_attempt
from mlcost_hpc.train.ending import Ending, Progress
from mlcost_hpc.train.finished import read_finished
from mlcost_hpc.train.journal import Journal
from mlcost_hpc.train.requeue import EXIT_REQUEUE, StopSignal
from tests.live.fault_odometer import Odometer


def main() -> None:
    """Count steps until told that it is enough."""
    folder = Path(os.environ["MLCOST_RUN_DIR"])
    odometer = Odometer.of_this_process()
    saved = folder / "step"
    first = int(saved.read_bytes()) if saved.exists() else 0
    journal = Journal(folder, new_attempt(os.environ, folder), is_first=True)
    if read_finished(folder):
        journal.close("finished", first_step=first, last_step=first)
        sys.exit(0)
    with StopSignal() as stop:
        ending = Ending(folder, journal, stop, is_first=True)
        journal.update(first_step=first, last_step=first)
        step = first
        while not (stop.is_set or odometer.is_enough):
            odometer.note(step)
            time.sleep(0.05)
            step += 1
        atomic.write_file(saved, str(step).encode())
        journal.update(last_step=step)
        progress = Progress(step, step, 20.0, None)
        if stop.is_set:
            ending.leave(ending.ask_why()[0], EXIT_REQUEUE, progress)
        ending.finish(step, progress)


if __name__ == "__main__":
    main()
