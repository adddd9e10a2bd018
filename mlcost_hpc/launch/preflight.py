"""What a preempted job of ours will be told on an offer, and when; the plan for signal and lead time (pure).

The rows are those of a measurement on real clusters: which process gets which signal when a job of a higher
tier takes the place. Our training runs under srun with ``--signal=USR2@lead`` and obeys TERM as well as USR2,
so it is told at once in every row in which a step is told at all; programs outside of srun are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

Row = Literal["A", "B", "C", "D", "never", "suspended"]


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen to a job that is preempted on an offer.

    Attributes:
        row: ``A``: no grace, TERM; ``B``: no grace, TERM and USR2; ``C``: grace, TERM; ``D``: grace, USR2;
            ``never``: it is not preempted; ``suspended``: it is stopped, and keeps its memory.
        told: the signal its processes get at once; empty = none.
        seconds: time from that signal until they are killed.
        requeues: who requeues it: ``slurm``, or ``script`` where Slurm would cancel it.
        warnings: what a person should know before submitting.
    """

    row: Row
    told: str
    seconds: int
    requeues: Literal["slurm", "script", "nobody"]
    warnings: tuple[str, ...] = ()


def preflight(offer: Offer, settings: ClusterSettings, save_s: float) -> Preflight:
    """Return what a job on an offer will get when it is preempted.

    Args:
        offer: where.
        settings: the cluster's settings.
        save_s: what one save takes.
    """
    if not offer.preemptible:
        return Preflight(row="never", told="", seconds=0, requeues="nobody")
    if "SUSPEND" in offer.preempt_mode:
        said = f"preempted jobs in {offer.partition} are suspended: they keep their GPUs and do not restart"
        return Preflight(row="suspended", told="", seconds=0, requeues="nobody", warnings=(said,))
    grace = offer.grace_time_s
    row: Row = ("D" if settings.user_signal else "C") if grace else ("B" if settings.user_signal else "A")
    seconds = grace + settings.kill_wait_s
    cancels = "CANCEL" in offer.preempt_mode
    warnings = []
    if save_s > seconds:
        warnings.append(
            f"a save takes {save_s:.0f} s, and a preempted job in {offer.partition} has {seconds} s: what "
            "was done since the last save is lost each time"
        )
    if cancels and not grace:
        warnings.append(
            f"preempted jobs in {offer.partition} are cancelled without grace: they end for good and must be "
            "submitted again"
        )
    return Preflight(
        row=row,
        told="USR2" if row == "D" else "TERM",
        seconds=seconds,
        requeues="script" if cancels else "slurm",
        warnings=tuple(warnings),
    )
