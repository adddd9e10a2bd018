"""The choice among offers."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.errors import NoOfferError
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.launch.conftest import CARD, GIB, NODES, PARTITIONS


def place(launcher: Launcher, **need: object) -> tuple[str, str]:
    best = launcher.choose(Need(**need)).best
    return best.offer.partition, best.offer.label


def test_cheapest_that_fits_wins(launcher: Launcher) -> None:
    """Without other wishes the lowest price wins."""
    assert place(launcher, gpus=2) == ("spot", "a100-40gb")


def test_preemptible_can_be_refused(launcher: Launcher) -> None:
    """With preemptible=False the cheapest guaranteed place wins."""
    assert place(launcher, gpus=2, preemptible=False) == ("a100", "a100-40gb")


def test_gpu_memory_decides(launcher: Launcher) -> None:
    """GPUs with too little memory are out."""
    assert place(launcher, gpus=1, gpu_memory=80 * GIB) == ("spot", "h100")


@pytest.mark.parametrize("name", ["h100", "H100", "nvidia_h100_80gb_hbm3"])
def test_gpu_type_can_be_named_in_any_spelling(launcher: Launcher, name: str) -> None:
    """A GPU type is found by GRES type, catalogue key or alias."""
    assert place(launcher, gpus=1, gpu_types=(name,)) == ("spot", "h100")


def test_jobs_without_gpus_go_to_cpu_nodes(launcher: Launcher) -> None:
    """A need without GPUs is never put on GPU nodes."""
    assert place(launcher, cpus=8) == ("cpu", "cpu")


def test_cost_is_price_of_all_that_is_held_times_the_limit(launcher: Launcher) -> None:
    """GPUs and CPUs both cost, with the partition's factor, for the whole time limit."""
    best = launcher.choose(Need(gpus=2, cpus=4, time_s=1800)).best
    assert best.per_hour == (2 * Decimal("1.80") + 8 * Decimal("0.01")) * Decimal("0.4")
    assert best.forecast.cost == best.per_hour / 2


@pytest.mark.parametrize(
    ("need", "words"),
    [
        ({"gpus": 1, "gpu_memory": 96 * GIB}, "h100 has 80 GiB; you asked for 96"),
        ({"gpus": 1, "time_s": 30 * 3600}, "allows 1-00:00:00; you asked for 1-06:00:00"),
        ({"gpus": 9}, "9 GPUs do not spread evenly over 2 nodes"),
        ({"gpus": 16}, "has 8 a100-40gb; you asked for 16"),
        ({"gpus": 1, "partitions": ("nowhere",)}, "not among the partitions you allow"),
        ({"cpus": 65}, "nodes in cpu have 64 CPUs; you asked for 65"),
        ({"memory": 600 * GIB}, "nodes in cpu have 512G of memory; you asked for 600G"),
    ],
)
def test_nearest_miss_is_named(launcher: Launcher, need: dict[str, object], words: str) -> None:
    """When nothing fits, the error (exit code 3) says what came nearest, with both numbers."""
    with pytest.raises(NoOfferError) as caught:
        launcher.choose(Need(**need))
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_named_gpu_without_a_price_is_the_nearest_miss() -> None:
    """Who asks for a model that the rate card forgot is told so, not that another model was not asked for."""
    slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/partition_prio"})
    hole = msgspec.structs.replace(CARD, gpu_hour={"a100-40gb": Decimal("1.80")})
    offers = list_offers(read_market(slurm), load_catalog(), hole)
    with pytest.raises(NoOfferError, match="no price for GPU model 'h100'"):
        choose(Need(gpus=1, gpu_types=("h100",)), offers, load_catalog(), hole)


def test_every_rejected_offer_says_why(launcher: Launcher) -> None:
    """Offers that do not fit are kept with their reasons, for --explain."""
    choice = launcher.choose(Need(gpus=1, gpu_memory=60 * GIB))
    reasons = {(r.offer.partition, r.offer.label): r.misses[0].why for r in choice.rejected}
    assert reasons[("a100", "a100-40gb")] == "a100-40gb has 40 GiB; you asked for 60"


@given(
    gpus=st.integers(0, 16),
    memory=st.integers(0, 100),
    hours=st.integers(1, 30),
    preemptible=st.booleans(),
)
def test_what_is_chosen_fits_and_nothing_cheaper_does(
    gpus: int, memory: int, hours: int, preemptible: bool
) -> None:
    """For any need: the best fits in every respect, and the ranking is by cost."""
    slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/partition_prio"})
    offers = list_offers(read_market(slurm), load_catalog(), CARD)
    need = Need(gpus=gpus, gpu_memory=memory * GIB, time_s=hours * 3600, preemptible=preemptible)
    try:
        choice = choose(need, offers, load_catalog(), CARD)
    except NoOfferError:
        return
    for candidate in choice.ranked:
        offer, shape = candidate.offer, candidate.shape
        assert shape.gpus * shape.nodes == gpus
        assert not gpus or (offer.gpu_memory or 0) >= memory * GIB
        assert preemptible or not offer.preemptible
        assert offer.max_time_s is None or offer.max_time_s >= need.time_s
    costs = [candidate.forecast.cost for candidate in choice.ranked]
    assert costs == sorted(costs)
