"""States of submitted jobs for submitit's ``job.done()`` and ``job.result()``.

submitit asks sacct, which is late and on some clusters not there at all, and calls a preempted job unknown.
Here one question to the queue covers all jobs that are waited for; only those it has forgotten are asked for
in the accounting. How often is submitit's own back-off: after 2, 4, 8, ... seconds, then once a minute.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import submitit
from submitit.slurm.slurm import SlurmInfoWatcher

from mlcost_hpc.errors import SlurmError

if TYPE_CHECKING:
    from mlcost_hpc.slurm.api import Slurm

_LONGEST_PAUSE_S = 60


class Watcher(SlurmInfoWatcher):
    """Asks a cluster for the states of all registered jobs at once.

    Args:
        slurm: the cluster.
    """

    def __init__(self, slurm: Slurm) -> None:
        super().__init__(delay_s=_LONGEST_PAUSE_S)
        self._slurm = slurm
        self._born = int(time.time()) - _LONGEST_PAUSE_S

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """Return a job's state; ``UNKNOWN`` as long as nothing is known."""
        return self.get_info(job_id, mode=mode).get("State") or "UNKNOWN"

    def update(self) -> None:
        """Ask for all jobs that are not finished; a cluster that does not answer changes nothing."""
        waiting = self._registered - self._finished
        self._last_status_check = time.time()
        if not waiting:
            return
        self._num_calls += 1
        try:
            states = self._states(waiting)
        except SlurmError:
            return  # asked again after the pause
        for job_id, state in states.items():
            self._info_dict[job_id] = {"JobID": job_id, "State": state}
            if self.is_done(job_id, mode="cache"):
                self._finished.add(job_id)

    def _states(self, waiting: set[str]) -> dict[str, str]:
        # An array is asked for by its number: one word for a thousand tasks.
        whole = sorted({job_id.partition("_")[0] for job_id in waiting})
        states = {job.job_id: job.state for job in self._slurm.jobs(whole) if job.job_id in waiting}
        forgotten = waiting - states.keys()
        if forgotten:
            names = sorted({job_id.partition("_")[0] for job_id in forgotten})
            runs = self._slurm.runs_of(names, self._born).runs
            # Of a requeued job the last run counts.
            for run in sorted(runs, key=lambda run: run.submitted or 0):
                if run.job_id in forgotten:
                    states[run.job_id] = run.state
        return states


def job_class(slurm: Slurm) -> type[submitit.SlurmJob[Any]]:
    """Return a class of jobs that are watched on a cluster; a pickled one comes back as submitit's own."""

    class LaunchedJob(submitit.SlurmJob[Any]):
        watcher = Watcher(slurm)

        def __reduce__(self) -> tuple[Any, ...]:
            return submitit.SlurmJob, (self.paths.folder, self.job_id, self._tasks)

    return LaunchedJob
