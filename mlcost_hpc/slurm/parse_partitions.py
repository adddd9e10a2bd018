"""``scontrol show partition`` -> :class:`~mlcost_hpc.slurm.api.Partition` records (pure)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError, UnitError
from mlcost_hpc.slurm.api import Partition
from mlcost_hpc.slurm.hostlist import expand_hostlist
from mlcost_hpc.slurm.scontrol_text import required, split_records
from mlcost_hpc.slurm.values import parse_count, parse_limit, parse_names, text_or_empty

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTION = "scontrol show partition"

_WEIGHT = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<letter>[KMGTP]?)", re.IGNORECASE)
_MEMORY_LETTERS = "KMGTP"


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Return the partitions of an answer in its order.

    Raises:
        SlurmAnswerError: when the answer is cut off or something needed is missing or unreadable.
    """
    return tuple(_partition(record) for record in split_records(text, "PartitionName", QUESTION))


def parse_billing_weights(text: str) -> Mapping[str, Decimal]:
    """Return the weights of ``CPU=1.0,Mem=0.25G,GRES/gpu:a100=8`` by TRES name in lower case.

    The weight of memory is per MiB: a letter behind it (per GiB here) is taken into account. An entry
    that cannot be read is left out: weights inform, they are not what we charge by.
    """
    weights: dict[str, Decimal] = {}
    for entry in parse_names(text):
        name, _, value = entry.partition("=")
        match = _WEIGHT.fullmatch(value)
        if match is None:
            continue
        weight = Decimal(match["number"])
        if match["letter"]:
            weight = weight / Decimal(1024) ** (_MEMORY_LETTERS.index(match["letter"].upper()) - 1)
        weights[name.lower()] = weight
    return weights


def _partition(record: Mapping[str, str]) -> Partition:
    return Partition(
        name=record["PartitionName"],
        state=required(record, "State", "PartitionName"),
        is_default=record.get("Default") == "YES",
        node_names=expand_hostlist(record.get("Nodes", "")),
        max_time_s=parse_limit(required(record, "MaxTime", "PartitionName")),
        default_time_s=parse_limit(record.get("DefaultTime", "NONE")),
        priority_tier=_count(record, "PriorityTier", default=1),
        preempt_mode=record.get("PreemptMode", "OFF"),
        grace_time_s=_count(record, "GraceTime", default=0),
        max_nodes=_optional_count(record, "MaxNodes"),
        allow_accounts=_allowed(record, "AllowAccounts"),
        deny_accounts=parse_names(record.get("DenyAccounts", "")),
        allow_qos=_allowed(record, "AllowQos"),
        deny_qos=parse_names(record.get("DenyQos", "")),
        allow_groups=_allowed(record, "AllowGroups"),
        qos=text_or_empty(record.get("QoS", "")),
        billing_weights=parse_billing_weights(record.get("TRESBillingWeights", "")),
        exclusive=record.get("OverSubscribe") == "EXCLUSIVE",
        needs_reservation=record.get("ReqResv") == "YES",
        root_only=record.get("RootOnly") == "YES",
    )


def _allowed(record: Mapping[str, str], key: str) -> tuple[str, ...] | None:
    """Return the names of an allow list, None for "all" (also where a deny list stands in its place)."""
    value = record.get(key, "ALL")
    return None if value == "ALL" else parse_names(value)


def _optional_count(record: Mapping[str, str], key: str) -> int | None:
    try:
        return parse_count(record.get(key, ""))
    except UnitError as error:
        raise SlurmAnswerError(f"{QUESTION}: partition {record['PartitionName']}: {key}: {error}") from None


def _count(record: Mapping[str, str], key: str, *, default: int) -> int:
    value = _optional_count(record, key)
    return default if value is None else value
