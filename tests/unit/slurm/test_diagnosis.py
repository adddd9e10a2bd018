"""Findings about a cluster, from facts alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mlcost_hpc.slurm.api import UNTYPED, Node, Partition, Version
from mlcost_hpc.slurm.cluster_settings import ClusterSettings
from mlcost_hpc.slurm.diagnose_preemption import preemptible_partitions
from mlcost_hpc.slurm.diagnosis import diagnose
from mlcost_hpc.slurm.findings import Facts, Finding

NODE = Node(name="a1", states=frozenset({"IDLE"}), gpus={"a100": 8}, partitions=("a100", "spot"))
HIGH = Partition(name="a100", node_names=("a1",), priority_tier=10, preempt_mode="OFF")
SPOT = Partition(name="spot", node_names=("a1",), preempt_mode="REQUEUE", grace_time_s=15)
GOOD = ClusterSettings(
    cluster="alpha",
    version=Version(25, 11, 2),
    preempt_type="partition_prio",
    preempt_mode="REQUEUE",
    user_signal=True,
    requeue_delay_s=10,
    accounting_type="slurmdbd",
    accounting_tres=("cpu", "gres/gpu", "gres/gpu:a100"),
    stores_comment=True,
    gres_types=("gpu",),
)
FACTS = Facts(
    backend="cli",
    why="the commands, as asked for",
    client_version=Version(25, 11, 2),
    settings=GOOD,
    partitions=(HIGH, SPOT),
    nodes=(NODE,),
    user="ann",
    admin_level="None",
)


def findings(settings: ClusterSettings = GOOD, **changes: object) -> tuple[Finding, ...]:
    return diagnose(replace(FACTS, settings=settings, **changes))


def problems(settings: ClusterSettings = GOOD, **changes: object) -> list[Finding]:
    return [found for found in findings(settings, **changes) if found.status in ("warning", "error")]


def test_a_good_cluster_has_no_problems() -> None:
    """Everything that can be said is fine or for information."""
    assert problems() == []
    assert [found.check for found in findings()] == [
        "backend", "controller", "nodes", "gpus", "accounting", "preemption", "preemption",
    ]  # fmt: skip


def test_a_dead_controller_is_the_last_finding() -> None:
    """Without it nothing else can be known."""
    last = diagnose(replace(FACTS, settings=None, controller_error="slurmctld does not answer"))[-1]
    assert (last.status, last.finding) == ("error", "slurmctld does not answer")


@pytest.mark.parametrize(
    ("client", "status"), [(Version(26, 5, 0), "warning"), (Version(24, 11, 0), "info"), (None, None)]
)
def test_versions_that_differ(client: Version | None, status: str | None) -> None:
    """Commands newer than the controller are a problem, older ones are worth a word."""
    said = [found.status for found in findings(client_version=client) if "the commands here" in found.finding]
    assert said == ([status] if status else [])


def test_gpus_that_accounting_does_not_count() -> None:
    """The remedy names the types of this cluster."""
    (found,) = problems(replace(GOOD, accounting_tres=("cpu", "mem")))
    assert "does not count GPUs" in found.finding
    assert "AccountingStorageTRES=gres/gpu,gres/gpu:a100" in found.advice


def test_gpu_types_that_accounting_does_not_count() -> None:
    """The types that are missing are named."""
    both = replace(NODE, gpus={"a100": 4, "t4": 4})
    (found,) = problems(nodes=(both,))
    assert found.finding.endswith("not the types t4")


def test_gpus_without_a_type() -> None:
    """They cannot be priced."""
    assert "3 GPUs have no type" in {
        found.finding for found in problems(nodes=(replace(NODE, gpus={UNTYPED: 3}),))
    }


def test_a_cluster_without_gpus() -> None:
    """That is no problem, only a fact."""
    said = findings(nodes=(replace(NODE, gpus={}),))
    assert [found.status for found in said if found.check == "gpus"] == ["info"]


def test_a_cluster_without_accounting() -> None:
    """What works and what does not is said once."""
    (found,) = problems(replace(GOOD, accounting_type="none", accounting_tres=()))
    assert "keeps no accounting" in found.finding
    assert "chargeback and budgets do not" in found.advice


def test_a_dead_database() -> None:
    """It is an error, and nothing is lost."""
    (found,) = problems(accounting_error="slurmdbd does not answer")
    assert (found.status, found.finding) == ("error", "slurmdbd does not answer")
    assert "nothing is lost" in found.advice


@pytest.mark.parametrize(
    ("level", "hidden"), [("None", True), ("", True), ("Operator", False), ("Administrator", False)]
)
def test_private_data_hides_jobs_from_plain_users(level: str, hidden: bool) -> None:
    """An operator sees all; others must know that their reports are about themselves."""
    said = problems(database={"PrivateData": "jobs,events"}, admin_level=level)
    assert bool(said) is hidden
    assert not hidden or said[0].finding == "ann sees own jobs only (slurmdbd's PrivateData=jobs)"


def test_a_private_queue_hides_who_waits() -> None:
    """The controller's own setting hides the queue, not the accounting."""
    private = replace(GOOD, private_data=frozenset({"jobs"}))
    assert problems(private) == []
    assert "the queue shows ann own jobs only (PrivateData=jobs)" in {
        found.finding for found in findings(private)
    }


def test_how_long_the_past_can_be_asked_about() -> None:
    """Purging and a limit on questions are told."""
    text = str(findings(database={"PurgeJobAfter": "12months", "MaxQueryTimeRange": "30-00:00:00"}))
    assert "deletes the records of jobs after 12months" in text
    assert "more than 30-00:00:00 at once" in text
    quiet = {"PurgeJobAfter": "NONE", "MaxQueryTimeRange": "UNLIMITED", "PrivateData": ""}
    assert findings(database=quiet) == findings()


def test_private_nodes_hide_no_jobs() -> None:
    """Only what hides jobs or usage matters to reports."""
    assert findings(replace(GOOD, private_data=frozenset({"nodes"}))) == findings()
    assert problems(database={"PrivateData": "events"}) == []


@pytest.mark.parametrize(
    ("version", "spelling"),
    [
        (Version(22, 5, 8), "SlurmctldParameters=preempt_send_user_signal"),
        (Version(25, 11, 0), "PreemptParameters=send_user_signal"),
    ],
)
def test_the_lost_signal(version: Version, spelling: str) -> None:
    """Without the switch a job's own signal never comes; the switch is named as this version spells it."""
    found = problems(replace(GOOD, user_signal=False, version=version), client_version=None)[0]
    assert "their --signal is not sent" in found.finding
    assert found.advice.endswith(spelling)


def test_no_grace_at_all() -> None:
    """Then the time to save is KillWait."""
    (found,) = problems(partitions=(HIGH, replace(SPOT, grace_time_s=0)))
    assert found.finding.endswith("TERM at once, KILL 30 s later")


@pytest.mark.parametrize(
    ("mode", "words"), [("CANCEL", "cancelled, not requeued"), ("GANG,SUSPEND", "suspended")]
)
def test_other_ways_of_preempting(mode: str, words: str) -> None:
    """Where a job does not come back from its checkpoint, that is said."""
    (found,) = problems(partitions=(HIGH, replace(SPOT, preempt_mode=mode)))
    assert words in found.finding


@pytest.mark.parametrize(
    ("version", "words"),
    [(Version(22, 5, 8), "counts as completed"), (Version(24, 5, 0), "is requeued, whatever its exit code")],
)
def test_an_exit_within_the_grace_time(version: Version, words: str) -> None:
    """The meaning changed with 24.05."""
    assert any(words in found.finding for found in findings(replace(GOOD, version=version)))


def test_preemption_by_qos() -> None:
    """Mode and grace belong to the QOS, so they are not guessed from partitions."""
    said = [found for found in findings(replace(GOOD, preempt_type="qos")) if found.check == "preemption"]
    assert "sacctmgr show qos" in said[0].advice
    assert "the QOS's grace time" in said[1].finding


def test_only_partitions_under_a_higher_one_can_be_preempted() -> None:
    """A mode alone preempts nobody: it takes a partition of a higher tier on the same nodes."""
    alone = Partition(name="cpu", node_names=("c1",), preempt_mode="REQUEUE")
    assert preemptible_partitions((HIGH, SPOT, alone)) == (SPOT,)


def test_small_things_worth_knowing() -> None:
    """Slow requeue, small arrays, endless limits, a short memory and no backfill are all told."""
    said = findings(
        replace(
            GOOD,
            version=Version(22, 5, 8),
            job_requeue=False,
            requeue_delay_s=121,
            max_array_size=101,
            over_time_limit_s=None,
            min_job_age_s=2,
            backfill=False,
        )
    )
    text = "\n".join(found.finding for found in said)
    for words in (
        "JobRequeue=0", "waits 121 s", "at most 100 tasks", "OverTimeLimit=UNLIMITED",
        "after 2 s (MinJobAge)", "no backfill", "--test-only",
    ):  # fmt: skip
        assert words in text


def test_no_arrays_and_no_usable_node() -> None:
    """Both are problems."""
    down = replace(NODE, states=frozenset({"DOWN"}))
    said = [found.check for found in problems(replace(GOOD, max_array_size=1), nodes=(down,))]
    assert said == ["nodes", "arrays"]


def test_where_it_runs() -> None:
    """Being inside a job or redirected to another cluster is told."""
    said = [found.finding for found in findings(inside_job="17", environment_clusters="beta")]
    assert "this runs inside job 17" in said
    assert "SLURM_CLUSTERS=beta redirects Slurm's commands" in said
