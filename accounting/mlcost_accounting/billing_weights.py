"""TRESBillingWeights from the rate card, so that Slurm's limits and fair share follow the money (pure).

Slurm multiplies what a job holds with its partition's weights and cuts the sum to an integer, the job's
``billing``. One currency unit an hour becomes ``per_unit`` billing units, so the cut is at most
1/``per_unit`` currency units an hour for a job; a small ``per_unit`` makes small jobs free in Slurm's eyes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import RateError
from mlcost_hpc.rates import GB, GIB

if TYPE_CHECKING:
    from mlcost_hpc.rates import RateCard

_DIGITS = Decimal("0.000001")


class Smallest(msgspec.Struct, frozen=True, kw_only=True):
    """What the cut to integers does to one unit of a resource.

    Attributes:
        what: ``1 CPU``, ``1 a100 GPU``, ...
        exact: billing units it should be.
        billed: billing units Slurm makes of it.
    """

    what: str
    exact: Decimal
    billed: int

    @property
    def lost_percent(self) -> Decimal:
        """Part that the cut takes away, per cent."""
        return 100 * (self.exact - self.billed) / self.exact if self.exact else Decimal(0)


class PartitionWeights(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of one partition.

    Attributes:
        partition: its name.
        weights: TRES name as slurm.conf spells it -> weight.
        smallest: what the cut does to one unit of each resource.
        notes: what weights cannot say of this partition.
    """

    partition: str
    weights: Mapping[str, Decimal]
    smallest: Sequence[Smallest]
    notes: Sequence[str]

    @property
    def line(self) -> str:
        """The setting for the partition's line in slurm.conf; empty when nothing is charged there."""
        pairs = ",".join(f"{name}={plain(weight)}{_suffix(name)}" for name, weight in self.weights.items())
        return f'TRESBillingWeights="{pairs}"' if pairs else ""


def weights_of(
    card: RateCard, partition: str, gpu_types: Mapping[str, str], per_unit: int
) -> PartitionWeights:
    """Return the weights of a partition.

    Args:
        card: the rate card.
        partition: its name.
        gpu_types: GRES type of the partition's GPUs, as Slurm spells it -> GPU model of the card.
        per_unit: billing units of one currency unit an hour.
    """
    rate = card.at(partition)
    factor = rate.multiplier * per_unit
    weights: dict[str, Decimal] = {}
    notes: list[str] = []
    units: list[tuple[str, Decimal]] = []
    if rate.basis == "whole-node":
        weights["Node"] = rate.node_hour * factor
        units.append(("1 node", weights["Node"]))
    elif rate.basis == "node-share":
        notes.append("priced by node share: weights are the node's price over each resource, with MAX_TRES")
        node = rate.node
        for name, count in (
            ("CPU", Decimal(node.cpus)),
            ("Mem", node.memory_gib),
            ("GRES/gpu", Decimal(node.gpus)),
        ):
            if count:
                weights[name] = rate.node_hour * factor / count
        units = [(_unit(name), weight) for name, weight in weights.items()]
    else:
        weights, units = _resource_weights(card, partition, gpu_types, factor, notes)
    smallest = [Smallest(what=what, exact=_short(exact), billed=int(exact)) for what, exact in units if exact]
    return PartitionWeights(
        partition=partition,
        weights={name: _short(weight) for name, weight in weights.items() if weight},
        smallest=smallest,
        notes=notes,
    )


def flags_of(card: RateCard) -> list[str]:
    """Return what slurm.conf needs beside the weights, and what of the card Slurm cannot count at all."""
    notes = []
    if card.combine == "max" or any(rate.basis == "node-share" for rate in card.partition.values()):
        notes.append("PriorityFlags must have MAX_TRES: the largest term counts, not the sum")
    if card.combine == "max-cpu-memory":
        notes.append(
            "the larger of CPU and memory plus GPUs: PriorityFlags=MAX_TRES_GRES, where slurm.conf knows it"
        )
    notes += [
        f"QOS {name}: sacctmgr modify qos {name} set UsageFactor={plain(rule.multiplier)}"
        for name, rule in sorted(card.qos.items())
    ]
    rules = {
        "minimum charges": bool(card.minimum_minutes or card.minimum_charge),
        "rounding of run time": card.step_seconds > 1,
        "steps of CPUs or memory": card.cpu_step > 1 or bool(card.memory_step),
        "memory that comes with CPUs": bool(card.included_memory_per_cpu),
        "factors by time of day": bool(card.hours),
        "factors by job size": bool(card.size),
        "credits by state": bool(card.state or any(rate.state for rate in card.partition.values())),
    }
    unsaid = [name for name, used in rules.items() if used]
    return [*notes, f"Slurm does not count: {', '.join(unsaid)}"] if unsaid else notes


def plain(number: Decimal) -> str:
    """Return a number without an exponent or needless zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _resource_weights(
    card: RateCard,
    partition: str,
    gpu_types: Mapping[str, str],
    factor: Decimal,
    notes: list[str],
) -> tuple[dict[str, Decimal], list[tuple[str, Decimal]]]:
    rate = card.at(partition)
    cpu = card.cpu_hour if rate.cpu_hour is None else rate.cpu_hour
    gib = card.memory_gib_hour if rate.memory_gib_hour is None else rate.memory_gib_hour
    memory = gib or card.memory_gb_hour * Decimal(GIB) / Decimal(GB)
    weights = {"CPU": cpu * factor, "Mem": memory * factor}
    for gres_type, model in sorted(gpu_types.items()):
        name = f"GRES/gpu:{gres_type}" if gres_type else "GRES/gpu"
        try:
            weights[name] = card.gpu_price(model, partition) * factor
        except RateError as error:
            notes.append(str(error))
    for name, price in sorted(card.other_hour.items()):
        weights[name] = price * factor
    return weights, [(_unit(name), weight) for name, weight in weights.items()]


def _unit(name: str) -> str:
    if name == "Mem":
        return "1 GiB"
    return f"1 {name.removeprefix('GRES/gpu:')} GPU" if name.startswith("GRES/gpu:") else f"1 {name}"


def _suffix(name: str) -> str:
    """Memory weights are per GiB; without the letter Slurm would take them per MiB."""
    return "G" if name == "Mem" else ""


def _short(number: Decimal) -> Decimal:
    return number.quantize(_DIGITS, ROUND_HALF_EVEN)
