"""The parts of a rate card: what is different in a partition, a QOS, a state, at some hours, for big jobs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Price = Decimal
"""A price or a factor; :func:`mlcost_hpc.rates.load_rates` refuses negative and endless ones."""

Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class NodeShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node of a partition has; 0 = does not count for a job's share."""

    cpus: int = 0
    memory_gib: Price = Decimal(0)
    gpus: int = 0


class StateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is charged of a run that ended in one state.

    Attributes:
        multiplier: part of the charge that stays, 0 for a free state; the rest is a credit.
        free_minutes: first minutes that cost nothing.
        minutes_before_limit: holds only for runs that ended at least this long before their time limit, 0 =
            for all. A job that saves and requeues itself at its limit was not preempted, but has the state
            ``REQUEUED`` like one that was.
    """

    multiplier: Price = Decimal(1)
    free_minutes: Annotated[int, msgspec.Meta(ge=0)] = 0
    minutes_before_limit: Annotated[int, msgspec.Meta(ge=0)] = 0


class PartitionRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different in one partition.

    Attributes:
        multiplier: factor on every price there, for instance 0.4 for a preemptible partition.
        basis: ``resources`` prices what a job holds, ``whole-node`` every node it touches,
            ``node-share`` the largest share it holds of a node's CPUs, memory or GPUs.
        node_hour: price of one node for one hour, for the two node bases.
        node: what one node has, for ``node-share``.
        gpu_model: model of GPUs whose type Slurm does not say here.
        needs_gpus: a run here without GPUs in its accounting row is refused: they are not tracked.
        pool: name of the pool that pays; by default ``gpu`` or ``cpu``.
        gpu_hour, cpu_hour, memory_gib_hour: prices that replace the card's own here.
        state: rules that replace the card's own here, such as one for ``REQUEUED`` where jobs are preempted.
    """

    multiplier: Price = Decimal(1)
    basis: Literal["resources", "whole-node", "node-share"] = "resources"
    node_hour: Price = Decimal(0)
    node: NodeShape = NodeShape()
    gpu_model: str = ""
    needs_gpus: bool = False
    pool: str = ""
    gpu_hour: Mapping[str, Price] = {}
    cpu_hour: Price | None = None
    memory_gib_hour: Price | None = None
    state: Mapping[str, StateRule] = {}


class QosRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different in one QOS: a factor on every price, 0 for a free QOS."""

    multiplier: Price = Decimal(1)


class HoursRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A factor for some hours, in the site's local time; the first rule that fits holds.

    Attributes:
        since: first minute, ``HH:MM``.
        until: minute at which it ends; at or before ``since`` it ends on the next day.
        days: days on which it begins; empty = all.
        multiplier: factor on every price.
    """

    since: Clock = "00:00"
    until: Clock = "00:00"
    days: tuple[Weekday, ...] = ()
    multiplier: Price = Decimal(1)


class SizeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A factor for big jobs: the last rule of which all minima are reached holds."""

    cpus: int = 0
    nodes: int = 0
    gpus: int = 0
    multiplier: Price = Decimal(1)


class SuspendedRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which resources are still charged while a job is suspended (Slurm gives only its CPUs to others)."""

    cpus: bool = False
    memory: bool = True
    gpus: bool = True


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lower price once an account has spent enough in a fiscal year.

    Attributes:
        above: spending, at list prices, from which this tier holds.
        multiplier: factor on what is spent above it.
    """

    above: Price
    multiplier: Price
