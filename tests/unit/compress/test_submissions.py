"""What was sent to Slurm and what must be sent again."""

from decimal import Decimal
from pathlib import Path

import msgspec

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import Manifest, expand
from mlcost_hpc.compress.newplan import plan_text
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.progress import whereabouts
from mlcost_hpc.compress.records import Kind, Place, Result
from mlcost_hpc.compress.submissions import (
    GIB,
    Submitted,
    base_memory,
    held,
    memory_for,
    read_submitted,
    states_by_task,
    task_cost,
    under_way,
    write_submitted,
)
from mlcost_hpc.slurm.api import Run


def submitted(job: str, *packs: tuple[str, ...], kind: Kind = "task", memory: int = 4 * GIB) -> Submitted:
    return Submitted(
        job=job,
        kind=kind,
        packs=packs,
        memory=memory,
        partition="cpu",
        per_hour=Decimal("0.36"),
        currency="USD",
        submitted=float(job),
    )


def manifest_of(folder: Path) -> Manifest:
    (folder / "plan.toml").write_text(plan_text([folder / "linear.onnx"], ["int8-dynamic"], folder))
    return expand(load_plan(folder / "plan.toml"), folder / "plan.toml")


def test_the_newest_try_of_a_task_counts() -> None:
    """A task that was lost and sent again is where its second job is."""
    jobs = [
        submitted("1", ("a",), ("b", "c")),
        submitted("2", ("b",)),
        submitted("3", ("m",), kind="prepare"),
    ]
    states = states_by_task(
        jobs, {"1_0": "COMPLETED", "1_1": "CANCELLED", "2_0": "PENDING", "3_0": "RUNNING"}
    )
    assert states == {"a": "COMPLETED", "b": "PENDING", "c": "CANCELLED"}
    assert under_way(states) == {"b"}
    assert whereabouts({"b", "c", "d"}, states) == {"queued": 1, "running": 0, "lost": 1, "not submitted": 1}
    # Cancelled while it waited: Slurm forgets such a task of an array, its record does not.
    assert whereabouts({"d"}, states, {"d"})["lost"] == 1


def test_out_of_memory_gets_twice_as_much_up_to_a_limit(tmp_path: Path, linear: Path) -> None:
    """Whether Slurm or the row says so; other ends change nothing."""
    [task] = manifest_of(tmp_path).tasks
    before = [submitted("1", (task.id,))]
    short = Result(task=task.id, model="linear", recipe="r", status="failed", reason="", cause="memory")
    assert memory_for(task, 4 * GIB, before, {task.id: "OUT_OF_MEMORY"}, None) == 8 * GIB
    assert memory_for(task, 4 * GIB, before, {}, short) == 8 * GIB
    assert memory_for(task, 4 * GIB, before, {task.id: "CANCELLED"}, None) == 4 * GIB
    assert memory_for(task, 4 * GIB, [], {}, None) == 4 * GIB
    again = [*before, submitted("2", (task.id,), memory=8 * GIB)]
    assert memory_for(task, 4 * GIB, again, {task.id: "PREEMPTED"}, None) == 8 * GIB
    later = [submitted("1", (task.id,), memory=32 * GIB)]
    assert memory_for(task, 4 * GIB, later, {task.id: "OUT_OF_MEMORY"}, None) == 32 * GIB


def test_memory_comes_in_steps_so_that_similar_tasks_share_an_array(tmp_path: Path, linear: Path) -> None:
    """A small model gets a power of two of GiB."""
    manifest = manifest_of(tmp_path)
    memory = base_memory(manifest, manifest.tasks[0])
    assert memory % GIB == 0
    assert (memory // GIB).bit_count() == 1


def test_records_of_jobs_are_kept_apart_and_read_in_order(tmp_path: Path, linear: Path) -> None:
    """Two submits at once write two files."""
    batch = Batch(tmp_path / "batch")
    batch.write_manifest(manifest_of(tmp_path))
    for job in ("10", "9"):
        write_submitted(batch, submitted(job, ("a",)))
    assert [item.job for item in read_submitted(batch)] == ["9", "10"]


def test_a_task_costs_its_seconds_at_the_price_of_its_job() -> None:
    """100 s at 0.36 an hour are 0.01; a task that ran outside Slurm has no known cost."""
    place = Place(host="n", processor="p", node_class="avx2", flags=(), threads=1, job="7_0")
    row = Result(task="a", model="m", recipe="r", status="ok", reason="", seconds=100.0, place=place)
    assert task_cost(row, [submitted("7", ("a",))]) == Decimal("0.01")
    assert task_cost(msgspec.structs.replace(row, place=None), [submitted("7", ("a",))]) is None


def test_a_plan_for_files_with_the_same_name(tmp_path: Path, linear: Path, labelled: Path) -> None:
    """Names are made different, data beside a model is found, hostile names are tamed."""
    odd = tmp_path / 'a "b".onnx'
    odd.write_bytes(linear.read_bytes())
    labelled.rename(tmp_path / "linear.npz")
    (tmp_path / "plan.toml").write_text(plan_text([linear, linear, odd], ["auto"], tmp_path))
    plan = load_plan(tmp_path / "plan.toml")
    assert [model.name for model in plan.model] == ["linear", "linear-2", "a-b"]
    assert [model.data for model in plan.model] == ["linear.npz", "linear.npz", None]


def test_lost_runs_are_paid_for_too() -> None:
    """What Slurm counted is the cost of a batch: every kind of job, every run, also those cut short."""
    jobs = [submitted("1", ("a",), ("b",)), submitted("2", ("m",), kind="measure")]
    runs = [
        Run(cluster="c", job_id="1_0", raw_job_id="1", state="COMPLETED", elapsed_s=3600),
        Run(cluster="c", job_id="1_1", raw_job_id="2", state="PREEMPTED", elapsed_s=1800),
        Run(cluster="c", job_id="1_1", raw_job_id="2", state="RUNNING", elapsed_s=1800),
        Run(cluster="c", job_id="2_0", raw_job_id="3", state="COMPLETED", elapsed_s=3600),
        Run(cluster="c", job_id="9_0", raw_job_id="9", state="COMPLETED", elapsed_s=3600),
    ]
    found = held(jobs, runs)
    assert found is not None
    assert (found.hours, found.cost, found.lost) == (3.0, Decimal("1.08"), Decimal("0.18"))
    assert held(jobs, []) is None
