"""How long a job will wait for its place: from the site's own past, corrected by what is idle now (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.launch.past import Past
    from mlcost_hpc.launch.shape import Shape

# Enough is idle: the scheduler's own cycle.
_IDLE = (15.0, 5.0, 60.0)
# Nothing is idle and nothing is known: between a cycle and a night.
_UNKNOWN = (3600.0, 60.0, 8 * 3600.0)
_ENOUGH = 10


class Wait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wait in seconds with an 80 % interval.

    Attributes:
        seconds: expected wait.
        low, high: 10 % and 90 % quantiles.
        basis: how it is known.
    """

    seconds: float
    low: float
    high: float
    basis: str


def expect_wait(offer: Offer, shape: Shape, here: Past) -> Wait:
    """Return how long a job of this shape will wait here.

    Idle places start a job at once, unless others in the queue are before it. Slurm's own forecasts are not
    asked: they were measured to be half an hour wrong where partitions share nodes.

    Args:
        offer: where.
        shape: what the job asks of each node there.
        here: what was seen in this partition.
    """
    idle = _is_idle(offer, shape)
    waits, kind = here.waits_like(offer.gpu_type, shape.gpus * shape.nodes, _ENOUGH)
    if waits.count < _ENOUGH:
        seconds, low, high = _IDLE if idle else _UNKNOWN
        said = "enough is idle now" if idle else "nothing is idle now"
        return Wait(seconds=seconds, low=low, high=high, basis=f"{said}; {waits.count} runs are no history")
    basis = f"{waits.count} runs {kind}"
    if idle:
        return Wait(
            seconds=min(_IDLE[0], waits.middle),
            low=0.0,
            high=max(_IDLE[2], waits.middle),
            basis=f"idle now; {basis}",
        )
    # Busy now: the runs that found an idle place say little, so it is the upper half that counts.
    return Wait(
        seconds=max(waits.mean, waits.middle),
        low=max(waits.low, _IDLE[1]),
        high=max(waits.high, waits.mean),
        basis=f"busy now; {basis}",
    )


def _is_idle(offer: Offer, shape: Shape) -> bool:
    return offer.gpus_idle >= shape.gpus * shape.nodes and offer.cpus_idle >= shape.cpus * shape.nodes
