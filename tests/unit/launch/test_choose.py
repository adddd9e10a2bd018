"""The choice among offers."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.errors import NoOfferError
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.memory import Model
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.speed import Measurement
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
    ("need", "words", "remedy", "change"),
    [
        (
            {"gpus": 1, "gpu_memory": 96 * GIB}, "h100 has 80 GiB; you asked for 96", "--gpu-memory 80",
            {"gpu_memory": 80 * GIB},
        ),
        (
            {"gpus": 1, "time_s": 30 * 3600}, "allows 1-00:00:00; you asked for 1-06:00:00",
            "--time 1-00:00:00", {"time_s": 24 * 3600},
        ),
        ({"gpus": 9}, "9 GPUs do not spread evenly over 2 nodes", "--gpus 8", {"gpus": 8}),
        ({"gpus": 16}, "has 8 a100-40gb; you asked for 16", "--gpus 8", {"gpus": 8}),
        ({"gpus": 16, "nodes": 1}, "have 8 a100-40gb; you asked for 16 on one node", "", {"gpus": 8}),
        (
            {"gpus": 1, "partitions": ("nowhere",)}, "nowhere is no partition that is up and has GPUs",
            "in a100, h100, spot", {"partitions": ("a100",)},
        ),
        (
            {"gpus": 1, "gpu_types": ("b200",)}, "this cluster has no b200", "a100-40gb or h100",
            {"gpu_types": ("h100",)},
        ),
        (
            {"gpus": 1, "gpu_types": ("h100",), "gpu_memory": 96 * GIB, "time_s": 30 * 3600},
            "h100 has 80 GiB", "--gpu-memory 80 and --time 1-00:00:00",
            {"gpu_memory": 80 * GIB, "time_s": 24 * 3600},
        ),
        ({"cpus": 65}, "nodes in cpu have 64 CPUs; you asked for 65", "--cpus 64", {"cpus": 64}),
        ({"gpus": 8, "cpus": 9}, "CPUs; you asked for 72", "--cpus 8", {"cpus": 8}),
        (
            {"memory": 600 * GIB}, "nodes in cpu have 512G of memory; you asked for 600G", "--mem 512G",
            {"memory": 512 * GIB},
        ),
        ({"nodes": 3}, "gives a job at most 1 nodes; this one needs 3", "1 nodes", {"nodes": 1}),
        (
            {"gpus": 1, "model": Model(parameters=7e9)}, "has 80 GiB; the model is estimated to need",
            "--gpu-memory 80", {"gpu_memory": 80 * GIB},
        ),
        (
            {"gpus": 1, "gpu_types": ("a100",), "model": Model(parameters=1e9, dtype="fp8")},
            "a100-40gb does not compute in fp8", "another dtype",
            {"model": Model(parameters=1e9, dtype="bf16")},
        ),
    ],
)  # fmt: skip
def test_nearest_miss_is_named_with_what_would_make_it_possible(
    launcher: Launcher, need: dict[str, object], words: str, remedy: str, change: dict[str, object]
) -> None:
    """When nothing fits, the error (exit code 3) says what came nearest, and following its advice helps."""
    with pytest.raises(NoOfferError) as caught:
        launcher.choose(Need(**need))
    assert words in str(caught.value)
    assert remedy in str(caught.value).partition("Possible ")[2]
    assert caught.value.exit_code == 3
    if "nodes" not in need or need["nodes"] != 1:
        assert launcher.choose(Need(**need | change)).ranked


def test_what_the_user_ruled_out_is_never_the_nearest(launcher: Launcher) -> None:
    """A partition that was not asked for is farther than any number of things wrong with the named one."""
    need = Need(gpus=16, partitions=("h100",), gpu_memory=96 * GIB, time_s=30 * 3600)
    with pytest.raises(NoOfferError, match="the nearest is h100"):
        launcher.choose(need)


def test_memory_that_this_job_needed_decides(launcher: Launcher) -> None:
    """A measured peak rules out GPUs with less, before the estimate; what the user says goes before both."""
    peak = Measurement(gpu_model="h100", gpus=1, per_second=1, peak_memory=45 * GIB)
    evidence = Evidence(own=(peak,))
    small = Model(parameters=1e9)
    choice = launcher.choose(Need(gpus=1, model=small), evidence)
    assert {item.offer.label for item in choice.ranked} == {"h100"}
    assert choice.rejected[0].misses[0].why == "a100-40gb has 40 GiB; by its peak on h100 this job needs 50.5"
    asked = launcher.choose(Need(gpus=1, model=small, gpu_memory=30 * GIB), evidence)
    assert {item.offer.label for item in asked.ranked} == {"a100-40gb", "h100"}


def test_sharded_model_needs_less_of_more_gpus(launcher: Launcher) -> None:
    """What does not fit one GPU is placed on as many as divide it far enough."""
    need = Need(gpus=1, gpus_max=8, model=Model(parameters=7e9, stage=3))
    found = {(item.offer.label, item.gpus) for item in launcher.choose(need).ranked}
    assert min(gpus for label, gpus in found if label == "a100-40gb") == 4
    assert min(gpus for label, gpus in found if label == "h100") == 2


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
