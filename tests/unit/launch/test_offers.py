"""What a cluster offers."""

from decimal import Decimal

import msgspec
import pytest

from mlcost_hpc.catalog import Catalog
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.offers import Offer, list_offers
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.launch.conftest import CARD, GIB, NODES, PARTITIONS, node, partition


def offer(launcher: Launcher, partition_name: str, model: str) -> Offer:
    [found] = [o for o in launcher.offers if (o.partition, o.label) == (partition_name, model)]
    return found


def test_price_has_the_partitions_multiplier(launcher: Launcher) -> None:
    """A GPU-hour in a partition costs the card's price times the partition's factor."""
    assert offer(launcher, "spot", "h100").gpu_hour == Decimal("1.44")
    assert offer(launcher, "h100", "h100").gpu_hour == Decimal("3.6")


def test_drained_nodes_do_not_count(launcher: Launcher) -> None:
    """GPUs of a drained node are neither idle nor there."""
    found = offer(launcher, "h100", "h100")
    assert (found.gpus_idle, found.gpus_total, found.nodes) == (8, 8, 1)


def test_idle_gpus_are_those_no_job_holds(launcher: Launcher) -> None:
    """Allocated GPUs are not idle."""
    assert offer(launcher, "a100", "a100-40gb").gpus_idle == 6


def test_only_lower_tiers_on_shared_nodes_are_preemptible(launcher: Launcher) -> None:
    """A partition is preemptible when a higher tier shares its nodes."""
    kinds = {o.partition: (o.preemptible, o.preempt_mode, o.grace_time_s) for o in launcher.offers}
    assert kinds["spot"] == (True, "REQUEUE", 20)
    assert kinds["h100"] == (False, "OFF", 0)


def test_tiers_mean_nothing_where_qos_preempts(catalog: Catalog) -> None:
    """With PreemptType=preempt/qos a partition of a lower tier is not preemptible for that."""
    market = read_market(FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/qos"}))
    assert not any(o.preemptible for o in list_offers(market, catalog, CARD))


def test_cost_efficiency_is_speed_over_price(launcher: Launcher) -> None:
    """Efficiency is peak TFLOPS divided by the price of an hour."""
    assert offer(launcher, "h100", "h100").efficiency == pytest.approx(989 / 3.6)


def test_cpu_jobs_are_offered_nodes_without_gpus(launcher: Launcher) -> None:
    """GPU partitions are not offered to jobs without GPUs while there are other nodes."""
    assert [o.partition for o in launcher.offers if not o.has_gpus] == ["cpu"]


def test_cpu_jobs_are_offered_gpu_nodes_where_there_are_no_others(catalog: Catalog) -> None:
    """On a cluster of GPU nodes only, jobs without GPUs go there."""
    market = read_market(FakeSlurm(partitions=PARTITIONS, nodes=NODES[1:]))
    names = [o.partition for o in list_offers(market, catalog, CARD) if not o.has_gpus]
    assert names == ["a100", "h100", "spot"]


def test_unknown_gpu_type_is_offered_and_said_to_be_unknown(catalog: Catalog) -> None:
    """A GRES type that is not in the catalogue is offered without memory and speed, with a note."""
    card = msgspec.structs.replace(CARD, gpu_hour={"gizmo": Decimal(1)})
    market = read_market(
        FakeSlurm(partitions=[partition("new", "n")], nodes=[node("n", "new", {"gizmo": 4})])
    )
    [found] = [o for o in list_offers(market, catalog, card) if o.has_gpus]
    assert (found.gpu_memory, found.tflops, found.gpu_hour) == (None, None, Decimal(1))
    assert "'gizmo' is not in the catalogue" in found.notes[0]


def test_hole_in_the_rate_card_names_the_gpu_model(catalog: Catalog) -> None:
    """An offer without a price says which GPU model the card lacks."""
    card = msgspec.structs.replace(CARD, gpu_hour={"h100": Decimal(3)})
    market = read_market(FakeSlurm(partitions=PARTITIONS, nodes=NODES))
    found = next(o for o in list_offers(market, catalog, card) if o.gpu_model == "a100-40gb")
    assert found.gpu_hour is None
    assert "no price for GPU model 'a100-40gb'" in found.notes[-1]


def test_node_with_two_gpu_types_is_two_offers(catalog: Catalog) -> None:
    """Each GPU type of a mixed node is offered on its own, with its own counts."""
    mixed = node("m", "mixed", {"v100": 2, "t4": 4}, gpus_allocated={"t4": 1})
    market = read_market(FakeSlurm(partitions=[partition("mixed", "m")], nodes=[mixed]))
    found = {
        o.gpu_type: (o.gpus_idle, o.gpus_total) for o in list_offers(market, catalog, CARD) if o.has_gpus
    }
    assert found == {"v100": (2, 2), "t4": (3, 4)}


def test_partition_that_is_down_is_not_offered(catalog: Catalog) -> None:
    """Jobs would only wait in a partition that is not up."""
    down = [partition("h100", "h100-1", state="DOWN")]
    market = read_market(FakeSlurm(partitions=down, nodes=NODES))
    assert list_offers(market, catalog, CARD) == ()


def test_memory_is_in_bytes(launcher: Launcher) -> None:
    """The catalogue's GiB become bytes."""
    assert offer(launcher, "h100", "h100").gpu_memory == 80 * GIB


def test_weights_of_zero_are_noted_and_do_not_make_a_price(catalog: Catalog) -> None:
    """A partition that Slurm counts for nothing keeps the rate card's price, and says so."""
    weights = {"cpu": Decimal(0), "gres/gpu": Decimal(0)}
    free = msgspec.structs.replace(PARTITIONS[1], billing_weights=weights)
    slurm = FakeSlurm(partitions=[free], nodes=NODES)
    [offer] = [item for item in list_offers(read_market(slurm), catalog, CARD) if item.has_gpus]
    assert offer.gpu_hour == Decimal("1.80")
    assert offer.billing_weights == weights
    assert "billing weights are all 0" in offer.notes[0]
