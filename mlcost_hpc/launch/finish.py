"""Waiting until jobs have ended, with one question for all of them each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlcost_hpc.slurm.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlcost_hpc.slurm.api import Slurm

_ALIVE = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "SIGNALING",
     "RESIZING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
)  # fmt: skip
_PAUSES_S = (2.0, 4.0, 8.0, 15.0)


def until_ended(
    slurm: Slurm, job_ids: Collection[str], sleep: Callable[[float], None] = time.sleep
) -> Iterator[frozenset[str]]:
    """Yield the jobs that are still alive each time the queue was asked; end when none is.

    A job that the queue has forgotten has ended. Preempted jobs that are requeued are alive.

    Args:
        slurm: the cluster.
        job_ids: the jobs.
        sleep: waits so many seconds.

    Raises:
        SlurmError: when the controller stays silent.
    """
    wanted = sorted(job_ids)
    count = 0
    while True:
        jobs = patiently(lambda: slurm.jobs(wanted))
        alive = frozenset(job.job_id for job in jobs if job.state in _ALIVE)
        yield alive
        if not alive:
            return
        sleep(_PAUSES_S[min(count, len(_PAUSES_S) - 1)])
        count += 1
