"""What the controller's settings mean for preemption, accounting and arrays (pure).

Preflight checks of the launcher and ``mlcost doctor`` both read this record instead of raw settings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.slurm.api import Version
from mlcost_hpc.slurm.parse_config import parse_version
from mlcost_hpc.slurm.values import parse_names

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_NUMBER = re.compile(r"\d+")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d+):(\d+)")

DEFAULT_CREDENTIAL_LIFE_S = 120
"""Slurm's default of ``AuthInfo=cred_expire``: how long a requeued job waits before it may start."""


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a cluster that decide how jobs are preempted, requeued and accounted.

    Attributes:
        cluster: the cluster's name.
        version: the controller's version.
        preempt_type: ``partition_prio``, ``qos`` or ``none``: who may preempt whom.
        preempt_mode: the cluster's default: ``OFF``, ``REQUEUE``, ``CANCEL``, ``SUSPEND``, ``GANG,SUSPEND``.
        user_signal: True when a preempted job gets the signal of its own ``--signal`` at once
            (``send_user_signal``, or ``preempt_send_user_signal`` before 23.02).
        preempt_exempt_time_s: seconds a job runs before it can be preempted.
        kill_wait_s: seconds between the last TERM and KILL.
        job_requeue: True when jobs may be requeued unless they say otherwise.
        requeue_delay_s: seconds a requeued job waits before it may start again.
        over_time_limit_s: seconds jobs may run over their limit; None = for ever.
        max_array_size: array task *indices* must be smaller than this.
        max_array_tasks: most tasks of one array; None = only the index is limited.
        min_job_age_s: seconds until the controller forgets a finished job.
        private_data: what users may see of their own only: ``jobs``, ``nodes``, ``usage``, ...
        accounting_type: ``slurmdbd`` or ``none``.
        accounting_tres: tracked resources as written: ``cpu``, ``gres/gpu``, ``gres/gpu:a100``, ...
        stores_comment: True when job comments reach the accounting.
        enforce: AccountingStorageEnforce: ``associations``, ``limits``, ``qos``, ``safe``, ...
        gres_types: generic resources that the cluster has (``gpu``, ``mps``, ``shard``).
        backfill: True when the backfill scheduler plans start times.
    """

    cluster: str
    version: Version
    preempt_type: str = "none"
    preempt_mode: str = "OFF"
    user_signal: bool = False
    preempt_exempt_time_s: int = 0
    kill_wait_s: int = 30
    job_requeue: bool = True
    requeue_delay_s: int = DEFAULT_CREDENTIAL_LIFE_S + 1
    over_time_limit_s: int | None = 0
    max_array_size: int = 1001
    max_array_tasks: int | None = None
    min_job_age_s: int = 300
    private_data: frozenset[str] = frozenset()
    accounting_type: str = "none"
    accounting_tres: tuple[str, ...] = ()
    stores_comment: bool = False
    enforce: frozenset[str] = frozenset()
    gres_types: tuple[str, ...] = ()
    backfill: bool = True

    @property
    def has_accounting(self) -> bool:
        """True when finished jobs are kept in a database."""
        return self.accounting_type == "slurmdbd"

    @property
    def tracks_gpus(self) -> bool:
        """True when job records count GPUs, with or without their type."""
        return any(name == "gres/gpu" or name.startswith("gres/gpu:") for name in self.accounting_tres)

    @property
    def tracked_gpu_types(self) -> frozenset[str]:
        """GRES types that job records count by name."""
        prefix = "gres/gpu:"
        return frozenset(
            name.removeprefix(prefix) for name in self.accounting_tres if name.startswith(prefix)
        )

    @property
    def preempts(self) -> bool:
        """True when some jobs can preempt others."""
        return self.preempt_type != "none"


def read_cluster_settings(config: Mapping[str, str]) -> ClusterSettings:
    """Return what ``config()`` of a cluster means.

    Settings that are missing (an older version, another backend) have Slurm's defaults.

    Raises:
        SlurmAnswerError: when the settings hold no version.
    """
    scheduling = _options(config.get("SchedulerParameters", ""))
    control = _options(config.get("SlurmctldParameters", ""))
    preemption = _options(config.get("PreemptParameters", ""))
    return ClusterSettings(
        cluster=config.get("ClusterName", ""),
        version=parse_version(config.get("SLURM_VERSION", "")),
        preempt_type=config.get("PreemptType", "none").removeprefix("preempt/") or "none",
        preempt_mode=config.get("PreemptMode", "OFF") or "OFF",
        user_signal="send_user_signal" in preemption or "preempt_send_user_signal" in control,
        preempt_exempt_time_s=_seconds(config.get("PreemptExemptTime", "")),
        kill_wait_s=_number(config.get("KillWait", ""), 30),
        job_requeue=config.get("JobRequeue", "1") != "0",
        requeue_delay_s=_requeue_delay(config, scheduling, control),
        over_time_limit_s=_over_time_limit(config.get("OverTimeLimit", "")),
        max_array_size=_number(config.get("MaxArraySize", ""), 1001),
        max_array_tasks=_option_number(scheduling, "max_array_tasks"),
        min_job_age_s=_number(config.get("MinJobAge", ""), 300),
        private_data=frozenset(parse_names(config.get("PrivateData", ""))) - {"none"},
        accounting_type=config.get("AccountingStorageType", "").removeprefix("accounting_storage/") or "none",
        accounting_tres=parse_names(config.get("AccountingStorageTRES", "")),
        stores_comment="job_comment" in parse_names(config.get("AccountingStoreFlags", "")),
        enforce=frozenset(parse_names(config.get("AccountingStorageEnforce", ""))) - {"none"},
        gres_types=parse_names(config.get("GresTypes", "")),
        backfill=config.get("SchedulerType", "sched/backfill") == "sched/backfill",
    )


def _options(text: str) -> Mapping[str, str]:
    """Return ``a,b=1`` as ``{"a": "", "b": "1"}``."""
    return {name: value for name, _, value in (entry.partition("=") for entry in parse_names(text))}


def _option_number(options: Mapping[str, str], name: str) -> int | None:
    value = options.get(name, "")
    return int(value) if value.isdecimal() else None


def _number(text: str, default: int) -> int:
    """Return the first number of a value such as ``30 sec``."""
    match = _FIRST_NUMBER.match(text.strip())
    return int(match.group()) if match else default


def _seconds(text: str) -> int:
    """Return the seconds of ``[D-]HH:MM:SS``; 0 where there are none (``NONE``)."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return 0
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def _over_time_limit(text: str) -> int | None:
    """Return the seconds of ``5 min`` or ``UNLIMITED``."""
    return None if text.upper().startswith("UNLIMITED") else _number(text, 0) * 60


def _requeue_delay(
    config: Mapping[str, str], scheduling: Mapping[str, str], control: Mapping[str, str]
) -> int:
    """Return how long a requeued job waits: the setting of 25.11 and later, else the credential's life.

    A requeued job may not start while credentials of its former run are valid; one second is added to
    their life. [measured: 121 s with the default of 120 s]
    """
    for options in (scheduling, control):
        explicit = _option_number(options, "requeue_delay")
        if explicit is not None:
            return explicit
    life = _option_number(_options(config.get("AuthInfo", "")), "cred_expire")
    return (DEFAULT_CREDENTIAL_LIFE_S if life is None else life) + 1
