"""What a preempted job will be told, and who may submit where."""

import msgspec
import pytest

from mlcost_hpc.launch.access import User, barred_partitions
from mlcost_hpc.launch.memory import Model, gpu_memory
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.launch.preflight import Place, Way, foresee, preflight
from mlcost_hpc.launch.preflight_report import plan_findings
from mlcost_hpc.slurm.api import Partition, Version
from mlcost_hpc.slurm.associations import parse_qos
from mlcost_hpc.slurm.cluster_settings import ClusterSettings
from mlcost_hpc.slurm.findings import Facts
from tests.unit.launch.conftest import GIB, partition

SPOT = Offer(partition="spot", preemptible=True, preempt_mode="REQUEUE", grace_time_s=15, gpus_per_node=8)
PLAIN = ClusterSettings(cluster="c", version=Version(22, 5, 8), kill_wait_s=10)


@pytest.mark.parametrize(
    ("grace", "user_signal", "row", "told", "seconds"),
    [
        (0, False, "A", "TERM", 10),
        (0, True, "B", "TERM", 10),
        (15, False, "C", "TERM", 25),
        (15, True, "D", "USR2", 25),
    ],
)
def test_row_of_the_measured_table_is_found(
    grace: int, user_signal: bool, row: str, told: str, seconds: int
) -> None:
    """Grace time and user signal decide what a job under srun gets, and how long it has."""
    settings = msgspec.structs.replace(PLAIN, user_signal=user_signal)
    found = preflight(msgspec.structs.replace(SPOT, grace_time_s=grace), settings, save_s=1)
    assert (found.row, found.told, found.seconds, found.warnings) == (row, told, seconds, ())


@pytest.mark.parametrize(
    ("way", "user_signal", "row", "told", "after", "seconds"),
    [
        ("script", True, "E", "TERM", 15, 10),
        ("script", False, "F", "TERM", 15, 10),
        ("batch signal", True, "G", "TERM", 15, 10),
        ("batch signal", False, "C", "TERM", 0, 25),
        ("no signal", True, "H", "TERM", 0, 25),
        ("no signal", False, "C", "TERM", 0, 25),
    ],
)
def test_other_ways_of_starting_have_their_rows(
    way: Way, user_signal: bool, row: str, told: str, after: int, seconds: int
) -> None:
    """Programs outside of srun, or with the signal sent to the script, hear when the grace time is over."""
    place = Place(name="partition spot", preempt_mode="REQUEUE", grace_s=15)
    found = foresee(place, msgspec.structs.replace(PLAIN, user_signal=user_signal), way)
    assert (found.row, found.told, found.after_s, found.seconds) == (row, told, after, seconds)


@pytest.mark.parametrize("way", ["srun", "script", "batch signal", "no signal"])
def test_without_grace_all_ways_are_alike(way: Way) -> None:
    """TERM comes to task and script at once, KillWait before the kill."""
    found = foresee(Place(name="p", preempt_mode="REQUEUE", grace_s=0), PLAIN, way)
    assert (found.row, found.after_s, found.seconds) == ("A", 0, 10)


def test_doctor_names_the_row_and_the_plan_of_a_partition() -> None:
    """One line a partition: the row of our jobs, and what other ways of starting get there."""
    settings = msgspec.structs.replace(PLAIN, preempt_type="partition_prio", user_signal=True)
    low = Partition(name="spot", node_names=("n1",), preempt_mode="REQUEUE", grace_time_s=15)
    high = Partition(name="a100", node_names=("n1",), priority_tier=10, preempt_mode="OFF")
    [found] = plan_findings(Facts(backend="cli", why="", settings=settings, partitions=(low, high)))
    assert (found.status, found.finding) == (
        "info", "partition spot: mlcost submit has row D: USR2 at once, killed 25 s later",
    )  # fmt: skip
    assert "without srun: row E, TERM after 15 s, killed 10 s later" in found.advice
    assert "saves of up to 25 s lose nothing" in found.advice


def test_doctor_finds_the_grace_time_of_a_qos() -> None:
    """Where jobs preempt by QOS, the victims' QOS has mode and grace time; others are not named."""
    rows = "normal|||cluster|00:00:00", "high||normal,low|cluster|00:00:00", "low|||requeue|00:02:00"
    answer = "".join(f"{row}{9 * '|'}\n" for row in rows)
    settings = msgspec.structs.replace(PLAIN, preempt_type="qos", preempt_mode="CANCEL")
    facts = Facts(backend="cli", why="", settings=settings, qos=parse_qos(answer))
    normal, low = plan_findings(facts)
    assert normal.finding.startswith("QOS normal: mlcost submit has row A")
    assert (normal.status, "cancelled without grace" in normal.advice) == ("warning", True)
    assert low.finding == "QOS low: mlcost submit has row C: TERM at once, killed 130 s later"


def test_nothing_is_said_where_nobody_is_preempted() -> None:
    """Without preemption, or without an answer, there is no plan to tell."""
    assert plan_findings(Facts(backend="cli", why="", settings=PLAIN)) == ()
    assert plan_findings(Facts(backend="cli", why="")) == ()


def test_save_that_does_not_fit_is_warned_of() -> None:
    """A save longer than grace and KillWait loses the work since the last one."""
    [warning] = preflight(SPOT, PLAIN, save_s=60).warnings
    assert "a save takes 60 s" in warning
    assert "has 25 s" in warning


def test_suspended_jobs_are_not_resumed_elsewhere() -> None:
    """A partition that suspends its jobs is said to do so."""
    found = preflight(msgspec.structs.replace(SPOT, preempt_mode="SUSPEND"), PLAIN, save_s=1)
    assert (found.row, found.requeues) == ("suspended", "nobody")
    assert "suspended" in found.warnings[0]


def test_cancelled_jobs_are_requeued_by_their_script() -> None:
    """Where Slurm cancels, the batch script requeues within the grace time; without grace nobody can."""
    mode = msgspec.structs.replace(SPOT, preempt_mode="CANCEL")
    assert preflight(mode, PLAIN, save_s=1).requeues == "script"
    assert preflight(msgspec.structs.replace(mode, grace_time_s=0), PLAIN, save_s=1).warnings


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"allow_accounts": ("vision",)}, "not for account nlp"),
        ({"deny_accounts": ("nlp",)}, "not for account nlp"),
        ({"allow_groups": ("staff",)}, "groups staff only"),
        ({"allow_qos": ("high",)}, "does not allow QOS normal"),
        ({"needs_reservation": True}, "reservations only"),
    ],
)
def test_partition_rules_bar_those_they_name(rules: dict[str, object], why: str) -> None:
    """Accounts, groups, QOS and reservations of a partition are obeyed before submitting."""
    user = User(name="ana", groups=frozenset({"users"}), default_account="nlp")
    barred = barred_partitions([partition("p", **rules)], Need(qos="normal"), user)
    assert why in barred["p"]


def test_what_is_not_known_bars_nobody() -> None:
    """Without knowing account and groups nothing is barred: sbatch has the last word."""
    rules = {"allow_accounts": ("vision",), "allow_groups": ("staff",)}
    assert barred_partitions([partition("p", **rules)], Need(), User(name="ana")) == {}


def test_adam_in_mixed_precision_takes_sixteen_bytes_a_parameter() -> None:
    """7.5 billion parameters take 120 GB, and 31.4, 16.6, 1.9 GB with ZeRO on 64 GPUs (its figure 1)."""
    model = Model(parameters=7.5e9)

    def states(stage: int) -> float:
        memory = gpu_memory(msgspec.structs.replace(model, shards=64, stage=stage))
        return (memory.weights + memory.gradients + memory.optimizer) / 1e9

    assert [round(states(stage), 1) for stage in (0, 1, 2, 3)] == [120.0, 31.4, 16.6, 1.9]


def test_lora_and_inference_need_far_less() -> None:
    """LoRA trains one parameter in a hundred; inference keeps the weights only."""
    training, lora, inference = (
        gpu_memory(Model(parameters=7e9, mode=mode)).total / GIB for mode in ("training", "lora", "inference")
    )
    assert training > 110
    assert 13 < inference < lora < 20


def test_recomputing_saves_most_activations() -> None:
    """Recomputed activations are a small part of stored ones, and the micro-batch scales both."""
    stored = Model(parameters=7e9, batch=4, sequence=2048, hidden=4096, layers=32)
    again = msgspec.structs.replace(stored, recompute=True)
    assert gpu_memory(again).activations < gpu_memory(stored).activations / 8
    one = gpu_memory(msgspec.structs.replace(stored, batch=1)).activations
    assert gpu_memory(stored).activations == pytest.approx(4 * one)
