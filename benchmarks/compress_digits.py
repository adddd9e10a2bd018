"""A CNN and a transformer trained on digits, compressed in every way.

Writes build/bench/compress_digits.json: size, speed over ONNX Runtime fp32 and accuracy of each recipe, the
chain prune -> distil -> int8 among them, and how `auto` compares with an exhaustive search of the recipes
that need no training. What is finished is kept in --work. With --check-portable every file is run as older
classes of processors would run it. Ends with 1 when a cell failed, or is `ok` and its own figures do not bear
that out. `make bench-small` has a few of the cells, for CI.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.local import run_here
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.progress import missing

sys.path.insert(0, str(Path(__file__).resolve().parent))
from real_models import elsewhere
from real_models.against import auto_against_search
from real_models.claims import falsely_ok
from real_models.table import cell, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.compress.records import Result

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "bench"
SINGLE = ("auto", "int8-static", "int8-dynamic", "qat", "int4", "fp16", "optimize", "prune-channels")
CHAIN = "prune-channels+distil+int8-static"
TRAINED = ("qat", "prune-channels")
"""Single recipes that train; `auto` does not, so its search space is the others."""


def write_plan(work: Path, models: Sequence[str], recipes: Sequence[str]) -> Path:
    """Train what is missing and write the plan; return its path."""
    if any(not (work / f"{model}.pt").exists() for model in models):
        train = [sys.executable, str(ROOT / "examples/compress/train.py"), "--out", str(work)]
        subprocess.run([*train, "--models", *models], check=True)
    lines = ['name = "digits"', f"recipes = {json.dumps(list(recipes))}", "task_minutes = 20"]
    for model in models:
        lines += [
            "[[model]]",
            f'name = "{model}"',
            f'factory = "digits_models.py:{model}"',
            f'state = "{model}.pt"',
            'data = "test.npz"',
            'training = "train.npz"',
        ]
    plan = work / "bench.toml"
    plan.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return plan


def row_of(result: Result) -> dict[str, Any]:
    """Return one row of the JSON."""
    score = result.score
    return {
        **cell(result),
        "points_lost": None if score is None or score.loss is None else 100 * score.loss,
        "notes": result.notes,
    }


def main() -> None:
    """Train, compress, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "compress-digits")
    parser.add_argument("--models", nargs="+", default=["cnn", "transformer"])
    parser.add_argument("--recipes", nargs="+", default=[*SINGLE, CHAIN])
    parser.add_argument("--check-portable", action="store_true", help="check the files' answers elsewhere")
    arguments = parser.parse_args()
    plan = write_plan(arguments.work, arguments.models, arguments.recipes)
    wanted = load_plan(plan)
    manifest = expand(wanted, plan)
    batch = Batch(arguments.work / "batch")
    batch.write_manifest(manifest)
    done = {result.task: result for result in batch.results(manifest.tasks)}
    todo = missing(manifest.tasks, done)
    run_here(
        batch,
        manifest,
        todo,
        lambda row: print(f"{row.model} {row.recipe}: {row.status}: {row.reason}", flush=True),
    )
    results = batch.results(manifest.tasks)
    if arguments.check_portable:
        elsewhere.check_files(batch, manifest, results)
    figures = {
        "auto_against_search": {
            model: auto_against_search(results, model, (*TRAINED, CHAIN)) for model in arguments.models
        },
        "chain": [row_of(result) for result in results if result.recipe == CHAIN and result.model == "cnn"],
        "falsely_ok": falsely_ok(results, wanted.limits.max_loss),
        "failed": [f"{row.model} {row.recipe}: {row.reason}" for row in results if row.status == "failed"],
        "portable": elsewhere.portability(batch, results),
        "rows": [{**row_of(result), "elsewhere": elsewhere.errors_of(batch, result)} for result in results],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "compress_digits.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (OUT / "compress_digits_portable.md").write_text(elsewhere.markdown(batch, results), encoding="utf-8")
    (OUT / "compress_digits.md").write_text(markdown([row_of(row) for row in results]), encoding="utf-8")
    print(json.dumps({key: figures[key] for key in figures if key != "rows"}, indent=1))
    if figures["falsely_ok"] or figures["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
