"""What a cluster's settings mean for the people who use it: facts in, findings out (pure)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlcost_hpc.slurm.api import UNTYPED, Partition, Version
from mlcost_hpc.slurm.diagnose_accounting import accounting_findings
from mlcost_hpc.slurm.diagnose_preemption import preemption_findings
from mlcost_hpc.slurm.findings import Facts, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

TEST_ONLY_MENDED = Version(25, 11, 0)
"""From here on ``sbatch --test-only`` estimates start times right where partitions share nodes."""

_SLOW_REQUEUE_S = 60
_SHORT_MEMORY_S = 60
_SMALL_ARRAY = 1001


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings, most basic first."""
    return tuple(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    yield Finding(check="backend", status="ok", finding=f"Slurm is asked through {facts.why}")
    yield from _environment(facts)
    if facts.settings is None:
        yield Finding(
            check="controller",
            status="error",
            finding=facts.controller_error,
            advice="nothing can be submitted or listed until this works",
        )
        return
    settings = facts.settings
    yield from _versions(facts, settings)
    yield from _nodes(facts)
    yield from _gpus(facts, settings)
    yield from accounting_findings(facts, settings)
    yield from preemption_findings(facts, settings)
    yield from _requeue(settings)
    yield from _limits(facts, settings)


def _environment(facts: Facts) -> Iterator[Finding]:
    if facts.inside_job:
        yield Finding(
            check="environment",
            status="info",
            finding=f"this runs inside job {facts.inside_job}",
            advice="jobs submitted from here do not inherit its SLURM_* and SBATCH_* settings",
        )
    if facts.environment_clusters:
        yield Finding(
            check="environment",
            status="info",
            finding=f"SLURM_CLUSTERS={facts.environment_clusters} redirects Slurm's commands",
            advice="set slurm.cluster in the settings file to choose a cluster for mlcost alone",
        )


def _versions(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    version, client = settings.version, facts.client_version
    yield Finding(check="controller", status="ok", finding=f"cluster {settings.cluster} runs Slurm {version}")
    if client is not None and client.release != version.release:
        yield Finding(
            check="controller",
            status="warning" if client > version else "info",
            finding=f"the commands here are of Slurm {client.release}, the controller of {version.release}",
            advice="commands newer than their controller are not supported" if client > version else "",
        )


def _nodes(facts: Facts) -> Iterator[Finding]:
    usable = sum(node.accepts_jobs for node in facts.nodes)
    yield Finding(
        check="nodes",
        status="ok" if usable else "warning",
        finding=f"{len(facts.nodes)} nodes in {len(facts.partitions)} partitions; {usable} can take jobs",
        advice="" if usable else "every node is down, drained or reserved: jobs will only wait",
    )


def _gpus(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for node in facts.nodes:
        counts.update(node.gpus)
    if not counts:
        yield Finding(
            check="gpus",
            status="info",
            finding="no node has GPUs (no Gres=gpu)",
            advice="costs count CPUs and memory only",
        )
        return
    listed = ", ".join(f"{count} {name or 'without a type'}" for name, count in sorted(counts.items()))
    yield Finding(check="gpus", status="ok", finding=f"GPUs: {listed}")
    if counts[UNTYPED]:
        yield Finding(
            check="gpus",
            status="warning",
            finding=f"{counts[UNTYPED]} GPUs have no type",
            advice="they cannot be matched to a model and a price: give them a Type= in gres.conf",
        )
    if not settings.has_accounting:
        return
    types = sorted(filter(None, counts))
    if not settings.tracks_gpus:
        tracked = ",".join(["gres/gpu", *(f"gres/gpu:{name}" for name in types)])
        yield Finding(
            check="gpus",
            status="warning",
            finding="accounting does not count GPUs (AccountingStorageTRES lacks gres/gpu)",
            advice="GPU jobs have no GPU-hours in its records, and their cost cannot be known from them: set "
            f"AccountingStorageTRES={tracked}",
        )
    elif missing := [name for name in types if name not in settings.tracked_gpu_types]:
        yield Finding(
            check="gpus",
            status="warning",
            finding=f"accounting counts GPUs, but not the types {', '.join(missing)}",
            advice="the type of a job's GPUs is taken from its nodes; where a node has two types it stays "
            f"unknown: add {','.join(f'gres/gpu:{name}' for name in missing)} to AccountingStorageTRES",
        )


def _requeue(settings: ClusterSettings) -> Iterator[Finding]:
    if not settings.job_requeue:
        yield Finding(
            check="requeue",
            status="warning",
            finding="jobs are not requeued unless they ask for it (JobRequeue=0)",
            advice="the launcher's scripts ask for it; other jobs need #SBATCH --requeue",
        )
    if settings.requeue_delay_s > _SLOW_REQUEUE_S:
        yield Finding(
            check="requeue",
            status="info",
            finding=f"a requeued job waits {settings.requeue_delay_s} s before it may start again",
            advice="shorter: AuthInfo=cred_expire=N, from 25.11 on requeue_delay",
        )


def _limits(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    largest = settings.max_array_size - 1
    if settings.max_array_tasks is not None:
        largest = min(largest, settings.max_array_tasks)
    if settings.max_array_size <= 1:
        yield Finding(check="arrays", status="warning", finding="job arrays are switched off (MaxArraySize)")
    elif settings.max_array_size < _SMALL_ARRAY or settings.max_array_tasks is not None:
        yield Finding(
            check="arrays",
            status="info",
            finding=f"an array has at most {largest} tasks, with indices up to {settings.max_array_size - 1}",
            advice="larger plans are split into several arrays",
        )
    if settings.over_time_limit_s is None:
        yield Finding(
            check="time limits",
            status="warning",
            finding="jobs run on past their limit for ever (OverTimeLimit=UNLIMITED)",
            advice="the expected cost of a job is no upper bound here",
        )
    if settings.min_job_age_s < _SHORT_MEMORY_S:
        yield Finding(
            check="controller",
            status="info",
            finding=f"the controller forgets finished jobs after {settings.min_job_age_s} s (MinJobAge)",
        )
    if not settings.backfill:
        yield Finding(
            check="start times",
            status="info",
            finding="no backfill scheduler: Slurm plans no start times",
            advice="waits are guessed from history alone",
        )
    if settings.version < TEST_ONLY_MENDED and _overlap(facts.partitions):
        yield Finding(
            check="start times",
            status="info",
            finding="partitions share nodes, and this version's sbatch --test-only ignores the other's queue",
            advice="its start times can be far too early",
        )


def _overlap(partitions: tuple[Partition, ...]) -> bool:
    """Tell whether a node is in two partitions."""
    counts = Counter(name for partition in partitions for name in partition.node_names)
    return any(count > 1 for count in counts.values())
