"""The settings a cluster can be asked for, and what a change of them costs on a running one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from virtual_cluster.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Preempt(StrEnum):
    """What decides who may preempt whom."""

    PARTITION = "partition"
    QOS = "qos"


class PreemptMode(StrEnum):
    """What happens to a preempted job."""

    REQUEUE = "requeue"
    CANCEL = "cancel"


class Switch(StrEnum):
    """On or off, in the words of the command line."""

    ON = "on"
    OFF = "off"


class GpuTracking(StrEnum):
    """Which GPUs the accounting counts (AccountingStorageTRES)."""

    TYPED = "typed"
    """gres/gpu and each type."""
    UNTYPED = "untyped"
    """gres/gpu only."""
    NONE = "none"
    """None: a job's GPUs leave no trace in accounting."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the cluster preempts, kills and accounts. Times in seconds.

    Attributes:
        grace: GraceTime of the preemptible partition and QOS.
        user_signal: Whether the signal a job asked for with ``--signal`` is sent when it is preempted.
        kill_wait: Between SIGTERM and SIGKILL.
        cred_expire: Life of a job credential; a requeued job waits this long (at least 5).
        preempt: By partition tier or by QOS.
        preempt_mode: A preempted job is requeued or cancelled.
        accounting: Whether there is a slurmdbd.
        gpus: Whether the nodes have GPUs.
        gpu_tracking: Which GPUs the accounting counts.
        private_data: Whether users see only what is their own.
    """

    grace: int = 20
    user_signal: Switch = Switch.OFF
    kill_wait: int = 10
    cred_expire: int = 5
    preempt: Preempt = Preempt.PARTITION
    preempt_mode: PreemptMode = PreemptMode.REQUEUE
    accounting: Switch = Switch.ON
    gpus: Switch = Switch.ON
    gpu_tracking: GpuTracking = GpuTracking.TYPED
    private_data: Switch = Switch.OFF


HELP: Mapping[str, str] = {
    "grace": "seconds between the warning of a preemption and its kill (GraceTime; 20)",
    "user_signal": "on|off: send a preempted job the signal it asked for with --signal (off)",
    "kill_wait": "seconds between SIGTERM and SIGKILL (KillWait; 10)",
    "cred_expire": "seconds a requeued job waits (AuthInfo=cred_expire; 5, the least)",
    "preempt": "partition|qos: what decides who preempts whom (partition)",
    "preempt_mode": "requeue|cancel: what happens to a preempted job (requeue)",
    "accounting": "on|off: whether there is a slurmdbd (on)",
    "gpus": "on|off: whether the nodes have GPUs (on)",
    "gpu_tracking": "typed|untyped|none: which GPUs accounting counts (typed)",
    "private_data": "on|off: whether users see only what is their own (off)",
}

_LOWEST = {"grace": 0, "kill_wait": 0, "cred_expire": 5}
# Slurm reads these again on `scontrol reconfigure`; the others only when its daemons start.
_RECONFIGURABLE = frozenset({"grace", "kill_wait", "private_data"})


def parse_value(key: str, text: str) -> Any:
    """One setting's value from its text.

    Raises:
        UsageError: The key is unknown or the value is not one of the allowed.
    """
    default = asdict(Settings()).get(key)
    if default is None:
        raise UsageError(f"unknown setting '{option_name(key)}' (known: {', '.join(map(option_name, HELP))})")
    if isinstance(default, StrEnum):
        choices = [member.value for member in type(default)]
        if text not in choices:
            raise UsageError(f"{option_name(key)} is one of {', '.join(choices)}, not '{text}'")
        return type(default)(text)
    lowest = _LOWEST[key]
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= 86_400):
        raise UsageError(f"{option_name(key)} is a number of seconds from {lowest} to 86400, not '{text}'")
    return int(text)


def parse_assignment(text: str) -> tuple[str, Any]:
    """``grace=0`` or ``user-signal=on`` as key and value."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"expected NAME=VALUE, not '{text}'")
    key = name.replace("-", "_")
    return key, parse_value(key, value)


def option_name(key: str) -> str:
    """The spelling on the command line."""
    return key.replace("_", "-")


def to_json(settings: Settings) -> dict[str, Any]:
    """Plain values for the cluster's record."""
    return asdict(settings)


def from_json(values: Mapping[str, Any]) -> Settings:
    """Settings from a record; keys of an older or newer release are left out or get their default."""
    known = {field.name for field in fields(Settings)}
    read = {key: parse_value(key, str(value)) for key, value in values.items() if key in known}
    return replace(Settings(), **read)


def needs_restart(old: Settings, new: Settings) -> bool:
    """Whether going from one to the other needs Slurm's daemons to start again."""
    changed = {key for key, value in asdict(new).items() if value != getattr(old, key)}
    return bool(changed - _RECONFIGURABLE)
