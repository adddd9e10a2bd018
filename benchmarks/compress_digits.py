"""The chain prune -> distil -> int8 on a CNN against int8 alone; writes build/bench/compress_digits.json.

Trains the example's CNN on scikit-learn's digits first. The figures: size, speed over ONNX Runtime fp32 and
accuracy of each recipe, and how `auto` compares with trying every int8 recipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.local import run_here
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.progress import missing
from mlcost_hpc.compress.standing import throughput_speedup

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "bench"
RECIPES = ("auto", "int8-static", "int8-dynamic", "qat", "fp16", "chain")
CHAIN = """
[[recipe]]
name = "chain"
steps = [
  { method = "prune-channels", ratio = 0.5, epochs = 0 },
  { method = "distil", epochs = 10 },
  { method = "int8-static" },
]
"""


def main() -> None:
    """Train, compress, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "compress-digits")
    parser.add_argument("--models", nargs="+", default=["cnn"])
    arguments = parser.parse_args()
    plan = arguments.work / "plan.toml"
    if not plan.exists():
        train = [sys.executable, str(ROOT / "examples/compress/train.py"), "--out", str(arguments.work)]
        subprocess.run([*train, "--models", *arguments.models, "--recipes", *RECIPES], check=True)
        plan.write_text(plan.read_text() + CHAIN)
    manifest = expand(load_plan(plan), plan)
    batch = Batch(arguments.work / "batch")
    batch.write_manifest(manifest)
    done = {result.task: result for result in batch.results(manifest.tasks)}
    todo = missing(manifest.tasks, done)
    run_here(
        batch, manifest, todo, lambda row: print(f"{row.model} {row.recipe}: {row.status}: {row.reason}")
    )
    figures = {
        f"{result.model}/{result.recipe}": {
            "status": result.status,
            "smaller": result.shrink,
            "speedup": {item.batch: item.speedup for item in result.latency},
            "points_lost": None
            if result.score is None or result.score.loss is None
            else 100 * result.score.loss,
            "seconds": result.seconds,
        }
        for result in batch.results(manifest.tasks)
    }
    for model in arguments.models:
        tried = [r for r in batch.results(manifest.tasks) if r.model == model]
        auto = next(r for r in tried if r.recipe == "auto")
        others = [
            r
            for r in tried
            if r.recipe in ("int8-static", "int8-dynamic", "qat", "fp16") and r.status == "ok"
        ]
        best = max((throughput_speedup(r) or 0.0 for r in others), default=0.0)
        figures[f"{model}/auto against exhaustive"] = {
            "speed": (throughput_speedup(auto) or 0.0) / best if best else None,
            "time": auto.seconds / sum(r.seconds for r in tried if r.recipe not in ("auto", "chain")),
        }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "compress_digits.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
