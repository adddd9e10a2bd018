"""What is sent to Slurm: one sbatch call, parts where a site wants them, only what is missing."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.compress.batch import Batch, read_json
from mlcost_hpc.compress.manifest import Manifest, expand
from mlcost_hpc.compress.newplan import plan_text
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.records import Result
from mlcost_hpc.compress.submissions import GIB, names_of, read_submitted
from mlcost_hpc.compress.submit import Orders, submit, submit_checks, submit_measurements
from mlcost_hpc.compress.task import Work
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need
from mlcost_hpc.slurm.api import Job, Run
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.launch.conftest import CARD, NODES, PARTITIONS

ORDERS = Orders(need=Need(cpus=2, time_s=600, partitions=("cpu",)), first_stage=False)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake sbatch on PATH: keeps each script, gives ids from 101 on; its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        f'#!/bin/bash\ncd {folder}; n=$(ls | wc -l)\ncp "${{@: -1}}" script-$n; echo $((100 + n))\n'
    )
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MLCOST_STATE", str(tmp_path / "state"))
    return folder


def launcher_on(
    tmp_path: Path, *, largest: int = 1001, jobs: Sequence[Job] = (), runs: Sequence[Run] = ()
) -> Launcher:
    config = {"PreemptType": "preempt/partition_prio", "MaxArraySize": str(largest)}
    slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config=config, jobs=jobs, runs=runs)
    return Launcher(slurm, load_catalog(), CARD, currency="USD", runs=tmp_path / "runs")


def scripts(folder: Path) -> list[str]:
    paths = sorted(folder.glob("script-*"), key=lambda path: int(path.name.partition("-")[2]))
    return [path.read_text() for path in paths]


def arrays(folder: Path) -> list[str]:
    return [text.partition("#SBATCH --array=")[2].partition("\n")[0] for text in scripts(folder)]


@pytest.fixture
def made(tmp_path: Path, linear: Path) -> tuple[Batch, Manifest]:
    """A batch of a thousand tasks of one model."""
    plan = tmp_path / "plan.toml"
    plan.write_text(plan_text([linear], ["int8-dynamic"], tmp_path))
    manifest = expand(load_plan(plan), plan)
    [one] = manifest.tasks
    tasks = tuple(msgspec.structs.replace(one, id=f"{number:016}") for number in range(1000))
    manifest = msgspec.structs.replace(manifest, tasks=tasks)
    batch = Batch(tmp_path / "batch")
    batch.write_manifest(manifest)
    return batch, manifest


def test_a_thousand_tasks_are_one_call(sbatch: Path, made: tuple[Batch, Manifest], tmp_path: Path) -> None:
    """One array, with the throttle that was asked for; its work list has every task once."""
    batch, manifest = made
    [sent] = submit(batch, manifest, launcher_on(tmp_path), msgspec.structs.replace(ORDERS, throttle=50))
    assert arrays(sbatch) == ["0-999%50"]
    assert names_of(sent) == [task.id for task in manifest.tasks]
    assert (sent.job, sent.memory) == ("101", 4 * GIB)


def test_an_array_is_split_at_the_sites_limit(
    sbatch: Path, made: tuple[Batch, Manifest], tmp_path: Path
) -> None:
    """Every part has its record; its tasks find their place in the one work list."""
    batch, manifest = made
    sent = submit(batch, manifest, launcher_on(tmp_path, largest=301), ORDERS)
    assert [len(item.packs) for item in sent] == [301, 301, 301, 97]
    assert [name for item in sent for name in names_of(item)] == [task.id for task in manifest.tasks]
    firsts = [re.search(r"\(\( (\d+) \+ SLURM_ARRAY_TASK_ID", text) for text in scripts(sbatch)]
    assert [int(found[1]) for found in firsts if found] == [0, 301, 602, 903]
    [work] = (batch.folder / "work").iterdir()
    assert read_json(work, Work).packs[903] == (manifest.tasks[903].id,)
    assert [item.job for item in read_submitted(batch)] == [item.job for item in sent]


def test_a_second_submit_sends_only_what_was_lost(
    sbatch: Path, made: tuple[Batch, Manifest], tmp_path: Path
) -> None:
    """Finished, queued and running tasks stay; lost ones go again, short ones with more memory."""
    batch, manifest = made
    [sent] = submit(batch, manifest, launcher_on(tmp_path), ORDERS)
    for task in manifest.tasks[:900]:
        batch.write_result(
            Result(task=task.id, model="linear", recipe=task.recipe.name, status="ok", reason="fine")
        )
    short = manifest.tasks[990]
    batch.write_result(
        Result(task=short.id, model="linear", recipe="r", status="failed", reason="", cause="memory")
    )
    ends = {900: "CANCELLED", 901: "PREEMPTED", 902: "NODE_FAIL", 903: "OUT_OF_MEMORY"}
    runs = [
        Run(cluster="fake", job_id=f"{sent.job}_{index}", raw_job_id="1", state=ends.get(index, "COMPLETED"))
        for index in [*range(904), 990]
    ]
    jobs = [
        Job(job_id=f"{sent.job}_{index}", raw_job_id="1", state="RUNNING" if index < 910 else "PENDING")
        for index in range(904, 1000)
        if index != 990
    ]
    again = submit(batch, manifest, launcher_on(tmp_path, jobs=jobs, runs=runs), ORDERS)
    assert [(names_of(item), item.memory) for item in again] == [
        ([manifest.tasks[index].id for index in (900, 901, 902)], 4 * GIB),
        ([manifest.tasks[903].id, short.id], 8 * GIB),
    ]
    assert "--mem=8192M" in scripts(sbatch)[-1]


def test_fronts_are_measured_alone_after_the_tasks(
    sbatch: Path, made: tuple[Batch, Manifest], tmp_path: Path
) -> None:
    """An exclusive array, one task a model, whatever came of the tasks before, at a whole node's price."""
    batch, manifest = made
    [sent] = submit_measurements(
        batch, manifest, launcher_on(tmp_path), ORDERS, models={"linear"}, after=["7", "8"]
    )
    [text] = scripts(sbatch)
    assert "\n#SBATCH --exclusive\n" in text
    assert "\n#SBATCH --dependency=afterany:7:8\n" in text
    assert "\n#SBATCH --cpus-per-task=2\n" in text
    assert sent.packs == (("linear",),)
    assert float(sent.per_hour) == pytest.approx(64 * 0.01)
    assert submit_measurements(batch, manifest, launcher_on(tmp_path), ORDERS, models=set()) == []


def test_checks_go_to_nodes_with_a_feature(
    sbatch: Path, made: tuple[Batch, Manifest], tmp_path: Path
) -> None:
    """A second array over --constraint runs candidates on another class of processors."""
    batch, manifest = made
    orders = msgspec.structs.replace(ORDERS, options={"constraint": "haswell"})
    assert submit_checks(batch, manifest, launcher_on(tmp_path), orders) == []
    good = manifest.tasks[3]
    batch.write_result(Result(task=good.id, model="linear", recipe="r", status="ok", reason=""))
    [sent] = submit_checks(batch, manifest, launcher_on(tmp_path), orders)
    assert names_of(sent) == [good.id]
    assert "\n#SBATCH --constraint=haswell\n" in scripts(sbatch)[0]
