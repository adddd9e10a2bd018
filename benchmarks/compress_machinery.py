"""What the machinery around a task costs, and how quickly a large batch is collected.

Writes build/bench/compress_machinery.json: seconds a task, in a process of its own, against the same work in
a plain loop (the first task of a pack loads the libraries for all), and seconds to read 1,000 rows and make
the report of them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import Manifest, Task, expand
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.recipes import Recipe
from mlcost_hpc.compress.report import rows
from mlcost_hpc.compress.task import do_task
from mlcost_hpc.compress.worker import run_task

OUT = Path(__file__).resolve().parents[1] / "build" / "bench"
ROWS = 1000
MODELS = 8


def write_model(path: Path, seed: int) -> None:
    """Write one small matrix product."""
    weights = np.random.default_rng(seed).standard_normal((64, 256)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def make_batch(folder: Path, name: str) -> tuple[Batch, Manifest]:
    """Return a batch of a few tiny models."""
    lines = [f'name = "{name}"', 'recipes = ["fp16"]', "batches = [8]"]
    for number in range(MODELS):
        write_model(folder / f"m{number}.onnx", number)
        lines += ["[[model]]", f'name = "m{number}"', f'onnx = "m{number}.onnx"']
    plan = folder / "plan.toml"
    plan.write_text("\n".join(lines) + "\n")
    batch = Batch(folder / name)
    manifest = expand(load_plan(plan), plan)
    batch.write_manifest(manifest)
    return batch, manifest


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plain, manifest = make_batch(folder, "plain")
        run_task(plain, manifest, manifest.tasks[0])  # loads the libraries
        loop, tasks = [], []
        isolated, _ = make_batch(folder, "isolated")
        for task in manifest.tasks[1:]:
            began = time.perf_counter()
            run_task(plain, manifest, task)
            loop.append(time.perf_counter() - began)
            began = time.perf_counter()
            do_task(isolated, manifest, task)
            tasks.append(time.perf_counter() - began)
        row = plain.row(manifest.tasks[0])
        assert row is not None
        many = Batch(folder / "many")
        everything = tuple(
            Task(id=f"{n:016}", model=f"m{n % 100}", recipe=Recipe(name="r")) for n in range(ROWS)
        )
        for task in everything:
            many.write_result(msgspec.structs.replace(row, task=task.id, model=task.model))
        began = time.perf_counter()
        table = rows(many.results(everything), {})
        collecting = time.perf_counter() - began
        assert len(table) == ROWS
    figures = {
        "plain_loop_s": round(statistics.median(loop), 3),
        "first_task_s": round(tasks[0], 3),
        "further_task_s": round(statistics.median(tasks[1:]), 3),
        "overhead_s": round(statistics.median(tasks[1:]) - statistics.median(loop), 3),
        "collect_1000_rows_s": round(collecting, 3),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "compress_machinery.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
