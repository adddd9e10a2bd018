"""What a cluster's settings mean for the people who use it: facts in, findings out (pure).

What happens to a preempted job was measured signal by signal on real clusters; docs/architecture.md says how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.slurm.api import UNTYPED, Node, Partition, Version
from mlcost_hpc.slurm.associations import Qos
from mlcost_hpc.slurm.cluster_settings import ClusterSettings
from mlcost_hpc.slurm.values import parse_names, text_or_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

Status = Literal["ok", "info", "warning", "error"]

EXIT_IN_GRACE_IS_PREEMPTION = Version(24, 5, 0)
"""From here on a job that ends by itself within its grace time is requeued, whatever its exit code."""

TEST_ONLY_MENDED = Version(25, 11, 0)
"""From here on ``sbatch --test-only`` estimates start times right where partitions share nodes."""

_HIDES_JOBS = frozenset({"jobs", "usage", "accounts", "users"})
_SLOW_REQUEUE_S = 60
_SHORT_MEMORY_S = 60
_SMALL_ARRAY = 1001


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found out.

    Attributes:
        check: what was looked at, a short stable word.
        status: ``ok``, ``info``, ``warning`` (something will go wrong) or ``error`` (nothing works).
        finding: what is so.
        advice: what to do about it, or what follows; empty when there is nothing to do.
    """

    check: str
    status: Status
    finding: str
    advice: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a cluster found.

    Attributes:
        backend: name of the backend.
        why: why it is this one.
        client_version: version of the installed commands; None = not there or not asked.
        settings: the cluster's settings; None = the controller does not answer.
        controller_error: why the controller gave no answer, empty when it did.
        partitions: its partitions.
        nodes: its nodes.
        accounting_error: why accounting gave no answer, empty when it did.
        user: who asks.
        admin_level: ``None``, ``Operator`` or ``Administrator`` as accounting knows the user; empty = not
            known.
        qos: QOS by name; empty where jobs do not preempt by QOS or it cannot be asked for.
        database: slurmdbd's own settings, empty where they cannot be asked for.
        inside_job: id of the job that this runs in, empty outside of jobs.
        environment_clusters: value of ``SLURM_CLUSTERS``, which redirects Slurm's commands.
    """

    backend: str
    why: str
    client_version: Version | None = None
    settings: ClusterSettings | None = None
    controller_error: str = ""
    partitions: tuple[Partition, ...] = ()
    nodes: tuple[Node, ...] = ()
    accounting_error: str = ""
    user: str = ""
    admin_level: str = ""
    qos: Mapping[str, Qos] = {}
    database: Mapping[str, str] = {}
    inside_job: str = ""
    environment_clusters: str = ""


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
    yield from _accounting(facts, settings)
    yield from _preemption(facts, settings)
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


def _accounting(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    if not settings.has_accounting:
        yield Finding(
            check="accounting",
            status="warning",
            finding="this cluster keeps no accounting (no slurmdbd)",
            advice="offers and submitting work; history, chargeback and budgets do not; a job that the "
            f"controller forgets after {settings.min_job_age_s} s is known by its files only",
        )
        return
    if facts.accounting_error:
        yield Finding(
            check="accounting",
            status="error",
            finding=facts.accounting_error,
            advice="nothing is lost: slurmctld keeps the records until slurmdbd is back; ingest again then",
        )
        return
    yield Finding(check="accounting", status="ok", finding="sacct answers")
    yield from _privacy(facts, settings)
    yield from _database(facts.database)
    if not settings.stores_comment:
        yield Finding(
            check="accounting",
            status="info",
            finding="job comments are not kept (AccountingStoreFlags lacks job_comment)",
            advice="tags that jobs carry in their comment do not reach the reports",
        )


def _privacy(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    """Say what is hidden: slurmdbd and slurmctld each have a PrivateData of their own."""
    if facts.admin_level not in ("", "None"):
        return
    user = facts.user or "this user"
    in_database = frozenset(parse_names(facts.database.get("PrivateData", ""))) & _HIDES_JOBS
    if in_database:
        yield Finding(
            check="accounting",
            status="warning",
            finding=f"{user} sees own jobs only (slurmdbd's PrivateData={','.join(sorted(in_database))})",
            advice="reports for a group need a user with AdminLevel=Operator, or the account's coordinator",
        )
    if "jobs" in settings.private_data:
        yield Finding(
            check="controller",
            status="info",
            finding=f"the queue shows {user} own jobs only (PrivateData=jobs)",
            advice="how many others wait cannot be seen, so waits are guessed from history",
        )


def _database(database: Mapping[str, str]) -> Iterator[Finding]:
    """Say for how long the past can be asked about."""
    if kept := text_or_empty(database.get("PurgeJobAfter", "")):
        yield Finding(
            check="accounting",
            status="info",
            finding=f"slurmdbd deletes the records of jobs after {kept} (PurgeJobAfter)",
            advice="what was ingested before stays in the ledger",
        )
    longest = database.get("MaxQueryTimeRange", "")
    if longest and longest != "UNLIMITED":
        yield Finding(
            check="accounting",
            status="info",
            finding=f"slurmdbd refuses questions about more than {longest} at once (MaxQueryTimeRange)",
        )


def _preemption(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
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
