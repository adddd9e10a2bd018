"""What is known beyond the offers when a choice is made: the past, measurements, what stopping costs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mlcost_hpc.launch.interruption import Costs
from mlcost_hpc.launch.past import Past
from mlcost_hpc.launch.speed import Measurement


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a choice rests on besides need, offers and prices.

    Attributes:
        past: partition -> what was seen there.
        own: speeds measured on this job.
        others: speeds measured on other jobs.
        costs: what stopping costs this job.
        kill_wait_s: seconds between the last TERM and KILL.
        requeue_delay_s: seconds a requeued job waits before it may start again.
        notes: what is missing, for a person.
    """

    past: Mapping[str, Past] = {}
    own: tuple[Measurement, ...] = ()
    others: tuple[Measurement, ...] = ()
    costs: Costs = Costs()
    kill_wait_s: int = 30
    requeue_delay_s: int = 121
    notes: tuple[str, ...] = ()
