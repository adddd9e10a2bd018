"""What becomes of preempted jobs (pure).

It was measured signal by signal on real clusters; docs/architecture.md says how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.slurm.api import Partition, Version
from mlcost_hpc.slurm.findings import Facts, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

EXIT_IN_GRACE_IS_PREEMPTION = Version(24, 5, 0)
"""From here on a job that ends by itself within its grace time is requeued, whatever its exit code."""


def preemption_findings(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    """Say for each place where jobs can be preempted what they get to know, and what becomes of them."""
    if not settings.preempts:
        yield Finding(
            check="preemption", status="info", finding="no job preempts another (PreemptType is none)"
        )
        return
    if settings.preempt_type == "qos":
        yield Finding(
            check="preemption",
            status="info",
            finding=f"jobs preempt by QOS; default mode {settings.preempt_mode}",
            advice="mode and grace time are those of the QOS: sacctmgr show qos "
            "format=name,preempt,preemptmode,gracetime",
        )
        yield from _told(settings, "", None)
        return
    for partition in preemptible_partitions(facts.partitions):
        mode = partition.preempt_mode
        if "SUSPEND" in mode:
            yield Finding(
                check="preemption",
                status="warning",
                finding=f"partition {partition.name}: preempted jobs are suspended, their GPUs are not freed",
                advice="a suspended job keeps its memory and does not restart from a checkpoint",
            )
        elif "CANCEL" in mode:
            yield Finding(
                check="preemption",
                status="warning",
                finding=f"partition {partition.name}: preempted jobs are cancelled, not requeued",
                advice="they end for good: they must be submitted again to resume from their checkpoint",
            )
        else:
            yield from _told(settings, f"partition {partition.name}: ", partition.grace_time_s)


def preemptible_partitions(partitions: tuple[Partition, ...]) -> tuple[Partition, ...]:
    """Return the partitions whose jobs can be preempted by those of a partition on the same nodes."""
    highest: dict[str, int] = {}
    for partition in sorted(partitions, key=lambda partition: partition.priority_tier):
        highest.update(dict.fromkeys(partition.node_names, partition.priority_tier))
    return tuple(
        low
        for low in partitions
        if low.preempt_mode != "OFF"
        and any(map(low.priority_tier.__lt__, map(highest.__getitem__, low.node_names)))
    )


def _told(settings: ClusterSettings, where: str, grace_s: int | None) -> Iterator[Finding]:
    """Say what a preempted job that is requeued gets to know, and when.

    Args:
        settings: the cluster's settings.
        where: words to begin with.
        grace_s: its grace time; None = that of its QOS, not known here.
    """
    kill = settings.kill_wait_s
    if grace_s == 0:
        yield Finding(
            check="preemption",
            status="warning",
            finding=f"{where}preempted jobs are requeued without grace: TERM at once, KILL {kill} s later",
            advice=f"a checkpoint must be written within {kill} s of TERM, or the time since the last one is "
            "lost; ask for a GraceTime",
        )
        return
    grace = "the QOS's grace time" if grace_s is None else f"{grace_s} s"
    if settings.user_signal:
        yield Finding(
            check="preemption",
            status="ok",
            finding=f"{where}preempted jobs are requeued after {grace}; the signal of their --signal comes "
            "first",
            advice="processes under srun get it; a batch script gets it only with --signal=B:...",
        )
    else:
        spelling = (
            "SlurmctldParameters=preempt_send_user_signal"
            if settings.version < Version(23, 2)
            else "PreemptParameters=send_user_signal"
        )
        yield Finding(
            check="preemption",
            status="warning",
            finding=f"{where}preempted jobs are requeued after {grace}, but their --signal is not sent: "
            "processes under srun get TERM at once, a batch script nothing until the grace time is over",
            advice="programs that wait for USR2 (submitit's default) lose their work; mlcost's training "
            f"helpers obey TERM too; ask for {spelling}",
        )
    yield Finding(
        check="preemption",
        status="info",
        finding=f"{where}a job that ends by itself within its grace time "
        + (
            "is requeued, whatever its exit code"
            if settings.version >= EXIT_IN_GRACE_IS_PREEMPTION
            else "counts as completed and is not requeued"
        ),
        advice="the launcher's scripts take care of it",
    )
