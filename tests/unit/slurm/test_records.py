"""The whole command-line backend over recorded answers of each real Slurm version.

setup_cluster/record.py made them; scenario.json names the jobs it ran, and what is known to be true of each
is demanded here of every version.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mlcost_hpc.slurm.cli_backend import CliSlurm
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
from mlcost_hpc.slurm.fake import FakeSlurm
from mlcost_hpc.slurm.parse_nodes import parse_nodes
from mlcost_hpc.slurm.parse_partitions import parse_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.slurm.api import Job, Run

RECORDS = Path(__file__).parents[2] / "records"
VERSIONS = sorted(path.name for path in RECORDS.iterdir() if (path / "scenario.json").is_file())


@pytest.fixture(params=VERSIONS, scope="module")
def recorded(request: pytest.FixtureRequest, player: Callable[[Path], Path]) -> Any:
    """One version: its folder and scenario, and all that the backend makes of its answers."""
    folder = RECORDS / request.param
    scenario = json.loads((folder / "scenario.json").read_text())
    slurm = CliSlurm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(player(folder)))
        answer = slurm.runs(scenario["start"], scenario["end"])
        return SimpleNamespace(
            folder=folder,
            release=request.param,
            scenario=scenario,
            version=slurm.version(),
            client_version=slurm.client_version(),
            settings=read_cluster_settings(slurm.config()),
            ids=scenario["jobs"],
            jobs=slurm.jobs(),
            answer=answer,
            runs=answer.runs,
            nodes={node.name: node for node in slurm.nodes()},
            partitions={partition.name: partition for partition in slurm.partitions()},
        )


def jobs(recorded: Any, label: str) -> list[Job]:
    job_id = recorded.ids[label]
    return [job for job in recorded.jobs if job.job_id.partition("_")[0].partition("+")[0] == job_id]


def runs(recorded: Any, label: str) -> list[Run]:
    job_id = recorded.ids[label]
    found = [run for run in recorded.runs if run.job_id.partition("_")[0].partition("+")[0] == job_id]
    return sorted(found, key=lambda run: (run.job_id, run.submitted or 0))


def test_all_three_versions_are_recorded() -> None:
    """The fast tests read the answers of every supported release."""
    assert {"22.05", "24.11", "26.05"} <= set(VERSIONS)


def test_every_row_is_read(recorded: Any) -> None:
    """Nothing a real Slurm prints is a reject."""
    assert recorded.answer.rejects == ()
    text = (recorded.folder / "sacct.txt").read_text()
    assert len(recorded.runs) == text.count(f"\x1frec{recorded.runs[0].cluster}\n")


def test_the_version_is_that_of_the_record(recorded: Any) -> None:
    """Controller and commands name the same release."""
    assert str(recorded.version) == recorded.scenario["version"]
    assert recorded.client_version.release == recorded.release


def test_nodes(recorded: Any) -> None:
    """Types, counts and use of GPUs, each node once however many partitions it is in."""
    assert {name: dict(node.gpus) for name, node in recorded.nodes.items()} == {
        "cpu-1": {}, "cpu-2": {}, "t4-1": {"t4": 4}, "t4-2": {"t4": 4}, "mixed-1": {"v100": 2, "t4": 4},
        "a100-1": {"a100": 8}, "a100-2": {"a100": 8}, "h100-1": {"h100": 8},
    }  # fmt: skip
    in_use = {name: dict(node.gpus_allocated) for name, node in recorded.nodes.items() if node.gpus_allocated}
    assert in_use == {
        "a100-1": {"a100": 4}, "a100-2": {"a100": 4}, "h100-1": {"h100": 8},
        "mixed-1": {"v100": 1, "t4": 2}, "t4-1": {"t4": 1}, "t4-2": {"t4": 4},
    }  # fmt: skip
    assert recorded.nodes["mixed-1"].partitions == ("mixed", "spot")
    assert recorded.nodes["mixed-1"].cpus_allocated >= 1
    assert recorded.nodes["mixed-1"].memory_allocated > 0


def test_a_drained_node_with_a_hostile_reason(recorded: Any) -> None:
    """Its reason imitates a good node; its state is what Slurm says."""
    node = recorded.nodes["cpu-2"]
    assert "DRAIN" in node.states
    assert not node.accepts_jobs
    assert node.gpus == {}
    assert node.cpus > 1


def test_partitions(recorded: Any) -> None:
    """Limits, tiers and who can be preempted, in this site's order."""
    spot, cpu = recorded.partitions["spot"], recorded.partitions["cpu"]
    assert list(recorded.partitions) == ["cpu", "t4", "a100", "h100", "mixed", "spot"]
    assert cpu.is_default
    assert (spot.preempt_mode, spot.grace_time_s, spot.priority_tier, spot.max_time_s) == (
        "REQUEUE",
        20,
        1,
        2 * 86400,
    )
    assert recorded.partitions["a100"].preempt_mode == "OFF"
    assert set(spot.node_names) == {"t4-1", "t4-2", "mixed-1", "a100-1", "a100-2", "h100-1"}
    assert spot.billing_weights["gres/gpu"] == 3


def test_settings(recorded: Any) -> None:
    """Preemption and accounting of this cluster are read the same on every version."""
    settings = recorded.settings
    assert (settings.preempt_type, settings.preempt_mode) == ("partition_prio", "REQUEUE")
    assert not settings.user_signal
    assert (settings.kill_wait_s, settings.requeue_delay_s) == (10, 6)
    assert settings.has_accounting
    assert settings.tracked_gpu_types == {"t4", "v100", "a100", "h100"}
    assert settings.private_data == frozenset()


def test_a_preempted_job_has_two_runs(recorded: Any) -> None:
    """The first was preempted; the second, submitted anew, is running on the same GPUs."""
    first, second = runs(recorded, "preempted")
    assert (first.state, second.state) == ("PREEMPTED", "RUNNING")
    assert first.ended is not None
    assert second.submitted is not None
    assert second.submitted >= first.ended
    assert first.db_index != second.db_index
    assert first.allocated.gpu_types == second.allocated.gpu_types == {"h100": 8}
    (job,) = jobs(recorded, "preempted")
    assert (job.state, job.restarts, job.requeue) == ("RUNNING", 1, True)
    assert job.node_names == ("h100-1",)


@pytest.mark.parametrize(("label", "state"), [("requeued", "REQUEUED"), ("node-failed", "NODE_FAIL")])
def test_other_requeues_have_two_runs(recorded: Any, label: str, state: str) -> None:
    """A requeue by hand and one after a node's failure are told apart."""
    first, second = runs(recorded, label)
    assert (first.state, second.state) == (state, "RUNNING")
    assert first.elapsed_s == (first.ended or 0) - (first.started or 0)


@pytest.mark.parametrize(
    ("label", "state", "exit_code"),
    [("completed", "COMPLETED", "0:0"), ("failed", "FAILED", "3:0"), ("timeout", "TIMEOUT", "0:0")],
)
def test_jobs_that_ended(recorded: Any, label: str, state: str, exit_code: str) -> None:
    """State and exit code are those of the job; controller and accounting agree."""
    (run,) = runs(recorded, label)
    (job,) = jobs(recorded, label)
    assert (run.state, run.exit_code) == (state, exit_code)
    assert job.state == state
    assert run.ended is not None
    assert (run.submitted, run.started, run.ended) == (job.submitted, job.started, job.ended)


def test_who_cancelled(recorded: Any) -> None:
    """The uid of the one who cancelled is kept; the state is one word."""
    (run,) = runs(recorded, "cancelled")
    assert (run.state, run.cancelled_by) == ("CANCELLED", 0)


def test_a_suspended_job(recorded: Any) -> None:
    """Its suspension is known and not part of the time it ran."""
    (run,) = runs(recorded, "suspended")
    assert 2 <= run.suspended_s <= 10


def test_an_array(recorded: Any) -> None:
    """Running tasks and waiting ones are jobs of their own; only what ran is in the books."""
    states = {job.job_id.partition("_")[2]: job.state for job in jobs(recorded, "array")}
    assert sorted(states) == ["0", "1", "2", "3", "4", "5"]
    assert sorted(states.values()) == ["PENDING"] * 4 + ["RUNNING"] * 2
    assert [run.state for run in runs(recorded, "array") if run.started] == ["RUNNING"] * 2


def test_a_heterogeneous_job(recorded: Any) -> None:
    """Each component has its own resources."""
    cpu, gpu = runs(recorded, "het")
    het = recorded.ids["het"]
    assert (cpu.job_id, gpu.job_id) == (f"{het}+0", f"{het}+1")
    assert (cpu.allocated.gpus, gpu.allocated.gpus) == (0, 1)
    assert {job.job_id for job in jobs(recorded, "het")} == {cpu.job_id, gpu.job_id}


def test_two_gpu_types_and_two_nodes(recorded: Any) -> None:
    """GPUs are counted by type, over all nodes."""
    (run,) = runs(recorded, "two-types")
    assert (run.allocated.gpus, run.allocated.gpu_types) == (3, {"v100": 1, "t4": 2})
    (job,) = jobs(recorded, "two-nodes")
    assert job.tres.gpu_types == {"a100": 8}
    assert (job.node_names, job.account) == (("a100-1", "a100-2"), "vision")


def test_a_hostile_name_and_comment(recorded: Any) -> None:
    """They come back as they are and break no row around them."""
    (job,) = jobs(recorded, "hostile")
    assert job.name == 'a|b;\x1fc\n9999\x1fx "quoted" $(id) =1+1 ümlaut'
    assert job.comment == "team=vision;note=first line\nsecond line, with a comma"
    (run,) = runs(recorded, "hostile")
    # slurmdbd stores another kind of quote
    assert run.name.replace("`", '"') == job.name
    assert run.user == "root"


def test_jobs_that_wait(recorded: Any) -> None:
    """They have a reason, hold nothing and have no start."""
    for label in ("held", "dependent"):
        (job,) = jobs(recorded, label)
        assert (job.state, job.started, job.node_names) == ("PENDING", None, ())
        assert job.reason
    (job,) = jobs(recorded, "too-big-now")
    assert set(job.partitions) == {"h100", "a100"}
    (run,) = runs(recorded, "too-big-now")
    assert (run.state, run.started, run.ended, run.allocated.gpus) == ("PENDING", None, None, 0)


def test_the_form_for_people_gives_the_same_records(recorded: Any) -> None:
    """Scontrol's multi-line answers, asked a moment later, are the same nodes and partitions."""
    people = recorded.folder / "people"
    assert parse_partitions((people / "scontrol-show-partition.txt").read_text()) == tuple(
        recorded.partitions.values()
    )
    nodes = parse_nodes((people / "scontrol-show-node.txt").read_text())
    assert [(node.name, node.gpus, node.gpus_allocated) for node in nodes] == [
        (node.name, node.gpus, node.gpus_allocated) for node in recorded.nodes.values()
    ]


def test_the_fake_selects_as_slurm_does(recorded: Any) -> None:
    """Given these records, the Slurm in memory finds the same jobs and runs for the same questions."""
    fake = FakeSlurm(jobs=recorded.jobs, runs=recorded.runs)
    start, end = recorded.scenario["start"], recorded.scenario["end"]
    assert fake.runs(start, end).runs == recorded.runs
    array = recorded.ids["array"]
    assert len(fake.jobs([array])) == 6
    assert fake.jobs([f"{array}_3"])[0].job_id == f"{array}_3"
    assert len(fake.runs_of([recorded.ids["preempted"]], start).runs) == 2
