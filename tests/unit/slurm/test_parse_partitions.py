"""Partitions as scontrol shows them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import Partition
from mlcost_hpc.slurm.parse_partitions import parse_billing_weights, parse_partitions

SPOT = (
    "PartitionName=spot AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A "
    "DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=15 Hidden=NO MaxNodes=UNLIMITED "
    "MaxTime=1-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=a100-[1-2],t4-1 "
    "PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE "
    "PreemptMode=REQUEUE State=UP TotalCPUs=16 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null)\n"
)
CLOSED = (
    "PartitionName=gold AllowGroups=ml,physics DenyAccounts=guest DenyQos=low AllocNodes=ALL Default=YES "
    "QoS=part_gold DefaultTime=01:00:00 GraceTime=0 MaxNodes=4 MaxTime=UNLIMITED Nodes=(null) "
    "PriorityTier=10 RootOnly=YES ReqResv=YES OverSubscribe=EXCLUSIVE PreemptMode=OFF State=DRAIN "
    "TRESBillingWeights=CPU=1.0,Mem=0.25G,GRES/gpu:a100=8\n"
)


def test_partitions_in_their_order() -> None:
    """Limits, tiers, preemption and who may use them are read."""
    spot, gold = parse_partitions(SPOT + CLOSED)
    assert spot == Partition(
        name="spot",
        node_names=("a100-1", "a100-2", "t4-1"),
        max_time_s=86400,
        preempt_mode="REQUEUE",
        grace_time_s=15,
    )
    assert gold == Partition(
        name="gold",
        state="DRAIN",
        is_default=True,
        default_time_s=3600,
        priority_tier=10,
        max_nodes=4,
        deny_accounts=("guest",),
        deny_qos=("low",),
        allow_groups=("ml", "physics"),
        qos="part_gold",
        billing_weights={"cpu": Decimal("1.0"), "mem": Decimal("0.25") / 1024, "gres/gpu:a100": Decimal(8)},
        exclusive=True,
        needs_reservation=True,
        root_only=True,
    )


def test_weights_of_memory_are_per_mib() -> None:
    """A letter behind the weight of memory is the unit it is meant for."""
    weights = parse_billing_weights("mem=1M,Mem=2,x=bad")
    assert weights == {"mem": Decimal(2)}
    assert parse_billing_weights("Mem=1K") == {"mem": Decimal(1024)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SPOT.rstrip("\n"), "cut off"),
        (SPOT.replace(" State=UP", ""), "says nothing of State for PartitionName=spot"),
        (SPOT.replace("GraceTime=15", "GraceTime=kurz"), "partition spot: GraceTime"),
        ("slurm_load_partitions: Fehler\n", "something else"),
    ],
)
def test_answers_that_are_none(text: str, words: str) -> None:
    """Half an answer or another text is an error that quotes it."""
    with pytest.raises(SlurmAnswerError, match=words):
        parse_partitions(text)
