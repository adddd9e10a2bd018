"""The question list: what this package asks Slurm, and the records that answers come back as.

Every backend (command line, pyslurm, the in-memory fake) answers these questions with these records, and the
contract suite demands that they agree. Times are UTC seconds since 1970 (integers), durations are seconds,
memory is bytes. ``None`` means "not known" or "no limit", as each attribute says; it never stands for zero.

Records of which a big site has 100,000 are kept out of the garbage collector (``gc=False``): they cannot be
part of a cycle, and its visits would take longer than making them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from mlcost_hpc.units import Tres

UNTYPED = ""
"""The GRES type under which GPUs are counted whose type Slurm does not say."""


class Version(msgspec.Struct, frozen=True, order=True):
    """A Slurm version, for instance 24.11.5."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor:02}.{self.patch}"

    @property
    def release(self) -> str:
        """The release as people name it, ``24.11``: features and answer formats change with it."""
        return f"{self.major}.{self.minor:02}"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, as ``scontrol show partition`` tells it.

    Attributes:
        name: its name.
        state: ``UP``, ``DOWN``, ``DRAIN`` or ``INACTIVE``.
        is_default: jobs without ``--partition`` go here.
        node_names: its nodes.
        max_time_s: longest time limit of a job; None = unlimited.
        default_time_s: time limit of a job that names none; None = ``max_time_s``.
        priority_tier: with preempt/partition_prio, jobs of a higher tier preempt those of a lower one.
        preempt_mode: what happens to its jobs: ``OFF``, ``REQUEUE``, ``CANCEL``, ``SUSPEND``, ...; the
            cluster's setting where the partition names none.
        grace_time_s: time between the preemption's signal and its end.
        max_nodes: most nodes a job may have; None = unlimited.
        allow_accounts: accounts that may submit; None = all.
        deny_accounts: accounts that may not.
        allow_qos: QOS that may be used; None = all.
        deny_qos: QOS that may not.
        allow_groups: Unix groups that may submit; None = all.
        qos: the partition's own QOS (its limits apply to all jobs here); empty = none.
        billing_weights: TRESBillingWeights by TRES name in lower case (``mem`` per MiB), empty when not set.
        exclusive: every job gets whole nodes.
        needs_reservation: only jobs in a reservation run here.
        root_only: only root may submit here.
    """

    name: str
    state: str = "UP"
    is_default: bool = False
    node_names: tuple[str, ...] = ()
    max_time_s: int | None = None
    default_time_s: int | None = None
    priority_tier: int = 1
    preempt_mode: str = "OFF"
    grace_time_s: int = 0
    max_nodes: int | None = None
    allow_accounts: tuple[str, ...] | None = None
    deny_accounts: tuple[str, ...] = ()
    allow_qos: tuple[str, ...] | None = None
    deny_qos: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] | None = None
    qos: str = ""
    billing_weights: Mapping[str, Decimal] = {}
    exclusive: bool = False
    needs_reservation: bool = False
    root_only: bool = False


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node, as ``scontrol show node`` tells it.

    Attributes:
        name: its name.
        states: base state and flags in upper case, for instance ``{"MIXED", "DRAIN"}``.
        cpus: CPUs it has.
        cpus_allocated: CPUs that jobs hold.
        memory: bytes it has.
        memory_allocated: bytes that jobs hold.
        gpus: GRES type -> GPUs it has (:data:`UNTYPED` for those without a type).
        gpus_allocated: GRES type -> GPUs that jobs hold.
        partitions: partitions it belongs to.
        features: features that ``--constraint`` can ask for.
    """

    name: str
    states: frozenset[str] = frozenset()
    cpus: int = 0
    cpus_allocated: int = 0
    memory: int = 0
    memory_allocated: int = 0
    gpus: Mapping[str, int] = {}
    gpus_allocated: Mapping[str, int] = {}
    partitions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    @property
    def accepts_jobs(self) -> bool:
        """True when jobs can start here, now or once others end."""
        broken = {"DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "INVAL", "INVALID_REG", "MAINT"}
        gone = {"NOT_RESPONDING", "POWERING_DOWN", "POWER_DOWN", "RESERVED", "UNKNOWN", "FUTURE", "PERFCTRS"}
        rebooting = {"REBOOT", "REBOOT_REQUESTED", "REBOOT_ISSUED", "MAINTENANCE", "BLOCKED"}
        return not self.states & (broken | gone | rebooting)


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One job (or one array task) the controller knows now, as ``squeue``/``scontrol show job`` tell it.

    Attributes:
        job_id: the id to give to commands: ``17``, ``17_3`` for an array task, ``17+1`` for a het component.
        raw_job_id: Slurm's own number of this job or task.
        name: job name. Hostile text.
        user: user name.
        account: account.
        partitions: the one it runs in, or the list it asked for while pending.
        qos: QOS.
        state: upper-case state word (``PENDING``, ``RUNNING``, ...); an unknown word is kept.
        reason: why it is pending, empty otherwise.
        submitted: when; None = not known.
        started: when it started, or is expected to; None = not known.
        ended: when it ended, or will at its limit; None = not known.
        time_limit_s: None = unlimited.
        restarts: how often it was requeued.
        tres: what it holds, or asks for while pending.
        node_names: nodes it holds.
        preempted: when its preemption began; None = not being preempted.
        comment: its comment. Hostile text.
        requeue: True when Slurm may requeue it.
    """

    job_id: str
    raw_job_id: str
    name: str = ""
    user: str = ""
    account: str = ""
    partitions: tuple[str, ...] = ()
    qos: str = ""
    state: str = ""
    reason: str = ""
    submitted: int | None = None
    started: int | None = None
    ended: int | None = None
    time_limit_s: int | None = None
    restarts: int = 0
    tres: Tres = Tres()
    node_names: tuple[str, ...] = ()
    preempted: int | None = None
    comment: str = ""
    requeue: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One accounting row of ``sacct -D -X``: one run of one job. A requeued job has several.

    Attributes:
        cluster: cluster name.
        job_id: ``JobID`` as printed (``17``, ``17_3``, ``17+1``, ``17_[4-9]`` for tasks that never started).
        raw_job_id: ``JobIDRaw``.
        db_index: slurmdbd's index as text: it can exceed 2^63. Empty where not known.
        user: user name; empty when the uid has none.
        uid: numeric user id; None = not known.
        account: account.
        partition: where it ran (may be a list while pending).
        qos: QOS.
        state: first word of the state (``CANCELLED`` of ``CANCELLED by 1001``); an unknown word is kept.
        cancelled_by: uid that cancelled it; None otherwise.
        submitted: when this run was submitted (a requeue submits anew); None = not known.
        eligible: when it could start; None = not known.
        started: None = never started.
        ended: None = not ended.
        elapsed_s: seconds it ran, suspension excluded.
        suspended_s: seconds it was suspended.
        time_limit_s: None = unlimited or the partition's own.
        allocated: what it held (AllocTRES): the basis of a charge.
        requested: what it asked for (ReqTRES).
        node_count: number of nodes.
        node_list: their names as Slurm prints them.
        exit_code: ``0:0``, as printed.
        name: job name. Hostile text.
        comment: its comment. Hostile text.
        wckey: workload characterisation key.
        reservation: reservation it ran in; ``#7`` where only its number is told.
    """

    cluster: str
    job_id: str
    raw_job_id: str
    db_index: str = ""
    user: str = ""
    uid: int | None = None
    account: str = ""
    partition: str = ""
    qos: str = ""
    state: str = ""
    cancelled_by: int | None = None
    submitted: int | None = None
    eligible: int | None = None
    started: int | None = None
    ended: int | None = None
    elapsed_s: int = 0
    suspended_s: int = 0
    time_limit_s: int | None = None
    allocated: Tres = Tres()
    requested: Tres = Tres()
    node_count: int = 0
    node_list: str = ""
    exit_code: str = ""
    name: str = ""
    comment: str = ""
    wckey: str = ""
    reservation: str = ""


class Reject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A piece of an answer that could not be read: kept, counted and shown, never a reason to stop.

    Attributes:
        text: the raw text.
        why: what was wrong with it.
    """

    text: str
    why: str


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Accounting rows of a window and what could not be read of it."""

    runs: tuple[Run, ...]
    rejects: tuple[Reject, ...] = ()


class Slurm(Protocol):
    """A connection to one Slurm cluster. All methods raise :class:`~mlcost_hpc.errors.SlurmError`."""

    @property
    def name(self) -> str:
        """Name of the backend, for instance ``cli``."""
        ...

    def version(self) -> Version:
        """Return the version of the Slurm that answers."""
        ...

    def config(self) -> Mapping[str, str]:
        """Return the controller's settings (``scontrol show config``), names and values as printed."""
        ...

    def partitions(self) -> tuple[Partition, ...]:
        """Return all partitions the user may see, in the controller's order."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes, each once, in the controller's order."""
        ...

    def jobs(self, job_ids: Sequence[str] = ()) -> tuple[Job, ...]:
        """Return the jobs the controller knows; only those with the given ids when there are any.

        A job that the controller has forgotten is simply missing: ask :meth:`runs`.
        """
        ...

    def runs(self, start: int, end: int) -> RunAnswer:
        """Return all users' accounting rows that overlap ``[start, end)`` (UTC), each run of a job."""
        ...

    def runs_of(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        """Return every accounting row of the given jobs since a time (UTC seconds)."""
        ...
