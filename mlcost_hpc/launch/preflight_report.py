"""What ``mlcost doctor`` says of a preemption: the row a place has, and the launcher's plan (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.launch.preflight import WAYS, Place, foresee
from mlcost_hpc.launch.qos_preemption import find_fate
from mlcost_hpc.slurm.diagnose_preemption import preemptible_partitions
from mlcost_hpc.slurm.findings import Facts, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_hpc.launch.preflight import Preflight
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

_CHECK = "preflight"


def plan_findings(facts: Facts) -> tuple[Finding, ...]:
    """Return a finding for each place where jobs can be preempted; none where nobody can be."""
    settings = facts.settings
    if settings is None or not settings.preempts:
        return ()
    return tuple(_describe(place, settings) for place in find_places(facts, settings))


def find_places(facts: Facts, settings: ClusterSettings) -> Iterator[Place]:
    """Yield the partitions or QOS whose jobs can be preempted."""
    if settings.preempt_type == "qos":
        for name in facts.qos:
            fate = find_fate(name, facts.qos, settings.preempt_mode)
            if fate.is_preemptible:
                yield Place(name=f"QOS {name}", preempt_mode=fate.mode, grace_s=fate.grace_s)
        return
    for partition in preemptible_partitions(facts.partitions):
        yield Place(
            name=f"partition {partition.name}",
            preempt_mode=partition.preempt_mode,
            grace_s=partition.grace_time_s,
        )


def _describe(place: Place, settings: ClusterSettings) -> Finding:
    ours = foresee(place, settings, "srun")
    if ours.row == "suspended":
        return Finding(
            check=_CHECK,
            status="warning",
            finding=f"{place.name}: jobs are suspended, not restarted",
            advice="mlcost submit warns before it sends a job there",
        )
    others = "; ".join(
        f"{words}: row {found.row}, {_told(found)}"
        for way, words in WAYS.items()
        if way != "srun" and (found := foresee(place, settings, way)).row != ours.row
    )
    return Finding(
        check=_CHECK,
        status="warning" if ours.warnings else "info",
        finding=f"{place.name}: mlcost submit has row {ours.row}: {_told(ours)}",
        advice=". ".join(filter(None, [_plan(ours), *ours.warnings, others])),
    )


def _told(found: Preflight) -> str:
    when = f"after {found.after_s} s" if found.after_s else "at once"
    return f"{found.told} {when}, killed {found.seconds} s later"


def _plan(ours: Preflight) -> str:
    requeued = {
        "slurm": "Slurm or the batch script requeues",
        "script": "the batch script requeues before Slurm cancels",
        "nobody": "nobody requeues",
    }[ours.requeues]
    return (
        f"plan: srun, --signal=USR2@ (TERM obeyed too), saves of up to {ours.seconds} s lose nothing; "
        f"{requeued}"
    )
