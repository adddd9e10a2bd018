"""The batch folder: what is damaged is named and hides nothing else."""

from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import Manifest, expand
from mlcost_hpc.compress.newplan import plan_text
from mlcost_hpc.compress.outcome import read_outcome
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.progress import missing
from mlcost_hpc.compress.records import Measurement, Place, Result


@pytest.fixture
def made(tmp_path: Path, linear: Path) -> tuple[Batch, Manifest]:
    """A batch of two tasks, both finished."""
    plan = tmp_path / "plan.toml"
    plan.write_text(plan_text([linear], ["int8-dynamic", "fp16"], tmp_path))
    batch, manifest = Batch(tmp_path / "batch"), expand(load_plan(plan), plan)
    batch.write_manifest(manifest)
    place = Place(host="n", processor="p", node_class="avx2", flags=(), threads=1)
    for task in manifest.tasks:
        batch.write_result(
            Result(
                task=task.id,
                model="linear",
                recipe=task.recipe.name,
                status="ok",
                reason="fine",
                place=place,
            )
        )
    return batch, manifest


@pytest.mark.parametrize("content", [b"", b"{", b'{"task": 3}', b"\xff\xfe", b"null"])
def test_a_damaged_row_is_a_row_that_says_so(made: tuple[Batch, Manifest], content: bytes) -> None:
    """The other rows are there, and the damaged one is done again by the next submit."""
    batch, manifest = made
    first, second = manifest.tasks
    batch.result_path(first.id).write_bytes(content)
    damaged, fine = batch.results(manifest.tasks)
    assert (damaged.status, damaged.cause, fine.status) == ("failed", "damaged", "ok")
    assert str(batch.result_path(first.id)) in damaged.reason
    rows = {row.task: row for row in (damaged, fine)}
    assert missing(manifest.tasks, rows) == (first,)
    assert batch.row(second) == fine


@pytest.mark.parametrize("folder", ["checks", "measured"])
def test_a_damaged_record_beside_a_row_is_named(made: tuple[Batch, Manifest], folder: str) -> None:
    """The row itself stays as the task wrote it."""
    batch, manifest = made
    first = manifest.tasks[0]
    (batch.task_folder(first.id) / folder).mkdir()
    (batch.task_folder(first.id) / folder / "avx2.json").write_bytes(b"{")
    found = read_outcome(batch, manifest)
    assert [row.status for row in found.rows] == ["ok", "ok"]
    assert len(found.damaged) == 1
    assert "avx2.json is damaged" in found.damaged[0]


def test_a_row_of_a_later_version_is_read_as_far_as_it_is_known(made: tuple[Batch, Manifest]) -> None:
    """Fields that this version does not know are no damage."""
    batch, manifest = made
    path = batch.result_path(manifest.tasks[0].id)
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), "new": 1}))
    assert batch.results(manifest.tasks)[0].status == "ok"


def test_a_later_measurement_does_not_change_what_a_task_cost(made: tuple[Batch, Manifest]) -> None:
    """The row of now is of the node where it was measured last; its cost is that of the job that did it."""
    batch, manifest = made
    first = manifest.tasks[0]
    batch.measured_folder(first.id).mkdir()
    [row, _] = batch.results(manifest.tasks)
    assert row.place is not None
    later = Measurement(
        task=first.id,
        place=msgspec.structs.replace(row.place, job="9_0"),
        latency=(),
        load_s=0.1,
        seconds=1.0,
        finished=1.0,
    )
    (batch.measured_folder(first.id) / "avx2.json").write_bytes(msgspec.json.encode(later))
    found = read_outcome(batch, manifest)
    assert found.rows[0].place == later.place
    assert found.written[0].place == row.place
