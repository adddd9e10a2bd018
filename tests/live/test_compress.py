"""Compression batches on the real cluster."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import LiveCluster

pytestmark = pytest.mark.live

MODELS = ("small", "wide", "deep")
RATES = "currency = 'USD'\n[[card]]\nvalid_from = 2020-01-01\ncpu_hour = 0.05\n"


def write_model(path: Path, widths: list[int]) -> None:
    """Write matrix products with ReLUs between them, input ``x`` (n, widths[0])."""
    random = np.random.default_rng(len(widths))
    nodes, weights, name = [], [], "x"
    for number, (before, after) in enumerate(pairwise(widths)):
        weights.append(
            numpy_helper.from_array(
                (random.standard_normal((before, after)) / before**0.5).astype(np.float32), f"w{number}"
            )
        )
        product = f"m{number}"
        nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [product], name=product))
        nodes.append(helper.make_node("Relu", [product], [f"r{number}"], name=f"r{number}"))
        name = f"r{number}"
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", widths[-1]])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of three models and two recipes, and a rate card beside it."""
    for name, widths in zip(MODELS, ([64, 256, 10], [64, 1024, 10], [64, 256, 256, 256, 10]), strict=True):
        write_model(tmp_path / f"{name}.onnx", widths)
    lines = ['name = "live"', 'recipes = ["int8-dynamic", "fp16"]', "batches = [8]", "task_minutes = 5"]
    for name in MODELS:
        lines += ["[[model]]", f'name = "{name}"', f'onnx = "{name}.onnx"']
    (tmp_path / "plan.toml").write_text("\n".join(lines) + "\n")
    (tmp_path / "rates.toml").write_text(RATES)
    return tmp_path / "plan.toml"


def mlcost(cluster: LiveCluster, plan: Path, command: str, *words: str) -> str:
    return cluster.run(
        sys.executable, "-m", "mlcost_hpc.cli.main", "compress", command, plan, *words, cwd=plan.parent
    )


def counts(cluster: LiveCluster, plan: Path) -> dict[str, int]:
    rows: list[dict[str, Any]] = json.loads(mlcost(cluster, plan, "status", "--format", "json"))
    return {row["status"]: row["tasks"] for row in rows if row["tasks"]}


def jobs(output: str) -> list[str]:
    return [line.split()[1].rstrip(":") for line in output.splitlines() if line.startswith("job ")]


def submit(cluster: LiveCluster, plan: Path) -> list[str]:
    return jobs(
        mlcost(cluster, plan, "submit", "--rates", "rates.toml", "--partition", "cpu", "--throttle", "1")
    )


def test_a_second_submit_runs_only_what_was_lost(cluster: LiveCluster, plan: Path) -> None:
    """Two tasks are cancelled: the next submit sends exactly these, the one after it nothing."""
    _first_stage, array = submit(cluster, plan)
    cluster.run("scancel", f"{array}_4", f"{array}_5")
    [again] = submit(cluster, plan)
    for task in [*(f"{array}_{index}" for index in range(4)), f"{again}_0", f"{again}_1"]:
        cluster.wait_state(task, "COMPLETED", seconds=240)
    found = counts(cluster, plan)
    assert sum(found.values()) == 6
    assert not set(found) & {"failed", "lost", "not submitted", "queued", "running"}
    assert "nothing to submit" in mlcost(cluster, plan, "submit", "--rates", "rates.toml")


def test_the_report_prices_what_ran(cluster: LiveCluster, plan: Path) -> None:
    """Every row has where it ran and what it cost, from the price of the partition that was chosen."""
    submitted = submit(cluster, plan)
    for index in range(6):
        cluster.wait_state(f"{submitted[-1]}_{index}", "COMPLETED", seconds=240)
    rows = json.loads(mlcost(cluster, plan, "report", "--rates", "rates.toml", "--format", "json"))
    assert len(rows) == 6
    for row in rows:
        # One CPU at 0.05 an hour, for the seconds of the row (memory is free on this card).
        a_cpu = 0.05 * row["seconds"] / 3600
        cpus = round(float(row["task_cost"]) / a_cpu)
        assert float(row["task_cost"]) == pytest.approx(cpus * a_cpu, abs=6e-10)  # rounded to nine decimals
        assert cpus > 0
        assert row["cost_before"] is not None


def test_fronts_are_measured_alone_when_the_tasks_are_done(cluster: LiveCluster, plan: Path) -> None:
    """One submit: tasks on shared cores, then an exclusive array whose figures the report goes by."""
    output = mlcost(
        cluster, plan, "submit", "--rates", "rates.toml", "--partition", "cpu", "--then-measure", "cpu"
    )
    *_, measuring = jobs(output)
    for index in range(3):
        cluster.wait_state(f"{measuring}_{index}", "COMPLETED", seconds=240)
    held = cluster.run("sacct", "-X", "-n", "-P", "-j", f"{measuring}_0", "-o", "AllocCPUS").split()
    cpus = cluster.run("sinfo", "-h", "-p", "cpu", "-o", "%c").split()
    assert held == cpus[:1], "the whole node was allocated"
    records = sorted(plan.parent.glob("plan-batch/results/*/measured/*.json"))
    assert records
    assert json.loads(records[0].read_bytes())["place"]["job"].startswith(measuring)


def test_candidates_are_checked_on_nodes_with_a_feature(cluster: LiveCluster, plan: Path) -> None:
    """The second array over --constraint compares answers there with those kept."""
    submitted = submit(cluster, plan)
    for index in range(6):
        cluster.wait_state(f"{submitted[-1]}_{index}", "COMPLETED", seconds=240)
    output = mlcost(cluster, plan, "check", "--submit", "cpu", "--constraint", "cpu", "--rates", "rates.toml")
    good = counts(cluster, plan).get("ok", 0)
    if not good:
        assert "nothing to submit" in output
        return
    [array] = jobs(output)
    for index in range(good):
        cluster.wait_state(f"{array}_{index}", "COMPLETED", seconds=120)
    assert len(list(plan.parent.glob("plan-batch/results/*/checks/*.json"))) == good
