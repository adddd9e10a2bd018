"""What a preempted job will be told, and when; the plan for signal and lead time (pure).

The rows A to H are those of a measurement on real clusters (docs/explanation/preemption.md): which process
gets which signal when a job of a higher tier takes the place. Our training runs under srun with
``--signal=USR2@lead`` and obeys TERM as well as USR2, so it is told at once in every row in which a step is
told at all; other ways of starting a program are told later, or by another signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

Row = Literal["A", "B", "C", "D", "E", "F", "G", "H", "never", "suspended", "unknown"]

Way = Literal["srun", "script", "batch signal", "no signal"]
"""How a program is started: by srun with ``--signal=USR2@``; by the batch script itself with the same; by
srun with ``--signal=B:USR2@``; by srun without ``--signal``."""

WAYS: dict[Way, str] = {
    "srun": "under srun with --signal=USR2@ (mlcost submit)",
    "script": "without srun",
    "batch signal": "under srun with --signal=B:USR2@",
    "no signal": "under srun without --signal",
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job can be preempted.

    Attributes:
        name: in words: ``partition spot``, ``QOS low``.
        preempt_mode: ``REQUEUE``, ``CANCEL``, ``SUSPEND``, ...
        grace_s: its grace time.
    """

    name: str
    preempt_mode: str
    grace_s: int


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen to a job that is preempted.

    Attributes:
        row: ``A``: no grace, TERM; ``B``: no grace, TERM and USR2; ``C``: grace, TERM; ``D``: grace, USR2;
            ``E``, ``F``: grace, and nothing before it is over; ``G``: grace, USR2 to the batch script alone;
            ``H``: grace, TERM for want of ``--signal``; ``never``: it is not preempted; ``suspended``: it is
            stopped, and keeps its memory; ``unknown``: whether it can be preempted is not known.
        told: the first signal its program gets; empty = none.
        after_s: seconds from the preemption until that signal.
        seconds: time from that signal until it is killed.
        requeues: who requeues it: ``slurm``, or ``script`` where Slurm would cancel it.
        warnings: what a person should know before submitting.
    """

    row: Row
    told: str
    seconds: int
    requeues: Literal["slurm", "script", "nobody"]
    after_s: int = 0
    warnings: tuple[str, ...] = ()


def preflight(offer: Offer, settings: ClusterSettings, save_s: float) -> Preflight:
    """Return what a job of ours on an offer will get when it is preempted.

    Args:
        offer: where.
        settings: the cluster's settings.
        save_s: what one save takes.
    """
    if offer.can_be_preempted is None:
        said = "jobs preempt by QOS here; whether this one can be preempted is not known (--explain says why)"
        return Preflight(row="unknown", told="", seconds=0, requeues="nobody", warnings=(said,))
    if not offer.preemptible:
        return Preflight(row="never", told="", seconds=0, requeues="nobody")
    place = Place(name=offer.whose, preempt_mode=offer.preempt_mode, grace_s=offer.grace_time_s)
    return foresee(place, settings, "srun", save_s)


def foresee(place: Place, settings: ClusterSettings, way: Way, save_s: float = 0.0) -> Preflight:
    """Return what a program started in some way will get when its job is preempted in a place.

    Args:
        place: where.
        settings: the cluster's settings.
        way: how the program is started.
        save_s: what one save takes; 0 = not known.
    """
    if "SUSPEND" in place.preempt_mode:
        said = f"preempted jobs in {place.name} are suspended: they keep their GPUs and do not restart"
        return Preflight(row="suspended", told="", seconds=0, requeues="nobody", warnings=(said,))
    row = find_row(way, place.grace_s, user_signal=settings.user_signal)
    is_late = row in "EFG"
    seconds = settings.kill_wait_s + (0 if is_late else place.grace_s)
    cancels = "CANCEL" in place.preempt_mode
    warnings = []
    if save_s > seconds:
        warnings.append(
            f"a save takes {save_s:.0f} s, and a preempted job in {place.name} has {seconds} s: what "
            "was done since the last save is lost each time"
        )
    if cancels and not place.grace_s:
        warnings.append(
            f"preempted jobs in {place.name} are cancelled without grace: they end for good and must be "
            "submitted again"
        )
    return Preflight(
        row=row,
        told="USR2" if row == "D" else "TERM",
        seconds=seconds,
        requeues="script" if cancels else "slurm",
        after_s=place.grace_s if is_late else 0,
        warnings=tuple(warnings),
    )


def find_row(way: Way, grace_s: int, *, user_signal: bool) -> Row:
    """Return the row of the measured table.

    Args:
        way: how the program is started.
        grace_s: grace time, seconds.
        user_signal: whether the cluster sends a preempted job the signal of its own ``--signal``.
    """
    if not grace_s:
        return "B" if user_signal else "A"
    if way == "script":
        return "E" if user_signal else "F"
    if not user_signal:
        return "C"
    rows: dict[Way, Row] = {"srun": "D", "batch signal": "G", "no signal": "H"}
    return rows[way]
