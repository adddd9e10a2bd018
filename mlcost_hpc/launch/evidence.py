"""What is known beyond the offers when a choice is made: the past, measurements, what stopping costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.interruption import Costs
from mlcost_hpc.launch.past import Past, by_partition
from mlcost_hpc.launch.speed import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.launch.history import History
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings


_DAY_S = 86400.0  # a queue of yesterday is known half as well as one of this hour


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a choice rests on besides need, offers and prices.

    Attributes:
        past: partition -> what was seen there.
        own: speeds measured on this job.
        others: speeds measured on other jobs.
        job: fingerprint of this job; empty = not known.
        program: fingerprint of its program; empty = not known.
        costs: what stopping costs this job.
        kill_wait_s: seconds between the last TERM and KILL.
        requeue_delay_s: seconds a requeued job waits before it may start again.
        doubt: factor by which intervals of wait and preemption are wider because the past is old.
        notes: what is missing, for a person.
    """

    past: Mapping[str, Past] = {}
    own: tuple[Measurement, ...] = ()
    others: tuple[Measurement, ...] = ()
    job: str = ""
    program: str = ""
    costs: Costs = Costs()
    kill_wait_s: int = 30
    requeue_delay_s: int = 121
    doubt: float = 1.0
    notes: tuple[str, ...] = ()


def gather_evidence(
    settings: ClusterSettings,
    history: History | None,
    own: Sequence[Measurement],
    others: Sequence[Measurement],
    costs: Costs | None,
) -> Evidence:
    """Return evidence for a choice on a cluster.

    Args:
        settings: the cluster's settings.
        history: its past; None = not asked for.
        own: speeds measured on this job.
        others: speeds measured on other jobs.
        costs: what stopping costs this job; None = the usual.
    """
    return Evidence(
        past={} if history is None else by_partition(history.samples),
        own=tuple(own),
        others=tuple(others),
        costs=costs or Costs(),
        kill_wait_s=settings.kill_wait_s,
        requeue_delay_s=settings.requeue_delay_s,
        doubt=1.0 if history is None else 1.0 + history.age_s / _DAY_S,
        notes=(history.note,) if history is not None and history.note else (),
    )
