"""Billing weights: Slurm's integer agrees with the rate card, and what it cannot say is told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from mlcost_accounting.billing_weights import flags_of, weights_of

from mlcost_hpc.rate_rules import NodeShape, PartitionRate, QosRate, StateRule
from mlcost_hpc.rates import RateCard, Resources

GPUS = {"a100": "a100-40gb"}


def card(**changes: object) -> RateCard:
    fields: dict[str, object] = {
        "valid_from": date(2026, 1, 1),
        "cpu_hour": Decimal("0.02"),
        "memory_gib_hour": Decimal("0.002"),
        "gpu_hour": {"a100-40gb": Decimal("1.80")},
        "partition": {"spot": PartitionRate(multiplier=Decimal("0.4"))},
    }
    return RateCard(**(fields | changes))  # type: ignore[arg-type]


def test_the_line_for_slurm_conf() -> None:
    """Prices times the scale, memory per GiB, GPUs by type only, so that none counts twice."""
    assert (
        weights_of(card(), "a100", GPUS, 1000).line == 'TRESBillingWeights="CPU=20,Mem=2G,GRES/gpu:a100=1800"'
    )
    assert weights_of(card(), "spot", GPUS, 1000).line == (
        'TRESBillingWeights="CPU=8,Mem=0.8G,GRES/gpu:a100=720"'
    )


def test_the_cut_to_integers_is_told() -> None:
    """A GiB on spot is 0.8 units, of which Slurm makes nothing; a CPU loses nothing."""
    by_unit = {part.what: part for part in weights_of(card(), "spot", GPUS, 1000).smallest}
    assert (by_unit["1 GiB"].billed, by_unit["1 GiB"].lost_percent) == (0, 100)
    assert by_unit["1 CPU"].lost_percent == 0


@given(
    st.integers(1, 128), st.integers(0, 2048), st.integers(0, 8), st.sampled_from(["a100", "spot"]),
    st.sampled_from([1000, 10_000]),
)  # fmt: skip
def test_weights_times_resources_is_the_price(
    cpus: int, gib: int, gpus: int, partition: str, per_unit: int
) -> None:
    """What Slurm computes from the weights is the card's price times the scale, for any job."""
    found = weights_of(card(), partition, GPUS, per_unit).weights
    billed = found["CPU"] * cpus + found["Mem"] * gib + found["GRES/gpu:a100"] * gpus
    held = Resources(cpus=cpus, memory=gib * 2**30, gpus={"a100-40gb": gpus} if gpus else {})
    assert billed == card().per_hour(held, partition) * per_unit


def test_a_gpu_without_a_price_is_named_not_free() -> None:
    """A model that the card does not price has no weight, and a note says so."""
    found = weights_of(card(), "new", {"mi300": "mi300"}, 1000)
    assert "GRES/gpu:mi300" not in found.weights
    assert "mi300" in found.notes[0]


def test_whole_nodes_and_node_shares() -> None:
    """A partition priced by nodes gets one weight for nodes, one by share the node's price over each part."""
    rates = {
        "big": PartitionRate(basis="whole-node", node_hour=Decimal(8)),
        "share": PartitionRate(
            basis="node-share", node_hour=Decimal(8), node=NodeShape(cpus=64, memory_gib=Decimal(256), gpus=8)
        ),
    }
    assert weights_of(card(partition=rates), "big", {}, 100).line == 'TRESBillingWeights="Node=800"'
    assert weights_of(card(partition=rates), "share", {}, 100).line == (
        'TRESBillingWeights="CPU=12.5,Mem=3.125G,GRES/gpu=100"'
    )
    assert any("MAX_TRES" in note for note in flags_of(card(partition=rates)))


def test_what_weights_cannot_say_is_listed() -> None:
    """QOS factors become UsageFactor; minimum charges and credits are named as not counted."""
    notes = "\n".join(
        flags_of(
            card(
                qos={"high": QosRate(multiplier=Decimal("1.5"))},
                minimum_minutes=15,
                state={"NODE_FAIL": StateRule(multiplier=Decimal(0))},
            )
        )
    )
    assert "sacctmgr modify qos high set UsageFactor=1.5" in notes
    assert "minimum charges" in notes
    assert "credits by state" in notes
