"""The winners, copied out with a card that says what they are and how to make them again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.manifest import hash_file
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Result


def copy_best(batch: Batch, manifest: Manifest, winners: Mapping[str, Result], target: Path) -> list[Path]:
    """Copy each winner to ``target/<model>/`` with its card and a plan that makes it again.

    Raises:
        CompressError: an artefact has gone or was changed, or the target cannot be written.
    """
    folders = []
    for name, result in winners.items():
        source = batch.folder / result.artefact
        if hash_file(source) != result.artefact_sha256:
            raise CompressError(f"{source} is not the file that was measured: its checksum differs")
        folder = target / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / "model.onnx")
            write_file(folder / "card.json", msgspec.json.format(msgspec.json.encode(result)) + b"\n")
            write_file(folder / "plan.toml", _plan(manifest, manifest.task(result.task)).encode())
            write_file(folder / "card.md", _card(manifest, result).encode())
        except OSError as error:
            raise CompressError(f"{folder}: {error.strerror}") from error
        folders.append(folder)
    return folders


def _card(manifest: Manifest, result: Result) -> str:
    """Return the card for people."""
    place = result.place
    lines = [
        f"# {result.model}: {result.recipe}",
        "",
        f"{result.reason}.",
        "",
        f"- file: `model.onnx`, {result.size_after:,} bytes, SHA-256 `{result.artefact_sha256}`",
        f"- made from: {result.size_before:,} bytes",
    ]
    lines += [f"- {key}: SHA-256 `{digest}`" for key, digest in manifest.model(result.model).hashes.items()]
    if place is not None:
        lines.append(
            f"- measured on {place.host} ({place.processor}, class {place.node_class}), "
            f"{place.threads} threads, load {place.load_before} to {place.load_after}"
        )
    for latency in result.latency:
        before, after = latency.before, latency.after
        lines.append(
            f"- batch {latency.batch}: {1000 * before.p50:.3f} -> {1000 * after.p50:.3f} ms a call "
            f"(p10 {1000 * after.p10:.3f}, p90 {1000 * after.p90:.3f})"
        )
    if result.score is not None:
        score = result.score
        lines.append(
            f"- {score.metric} on {score.samples} samples of {score.data}: {score.before} -> {score.after}; "
            f"agreement {score.agreement}, relative error {score.relative_error}"
        )
    lines += [f"- {note}" for note in result.notes]
    lines += ["", "## The way here", ""]
    lines += [f"- {attempt.rung}: {attempt.status}: {attempt.reason}" for attempt in result.attempts]
    lines += ["", "## Make it again", "", "```console", "$ mlcost compress run plan.toml", "```", ""]
    lines += ["## Versions", ""]
    lines += [f"- {name} {version}" for name, version in result.versions.items()]
    return "\n".join(lines) + "\n"


def _plan(manifest: Manifest, task: Task) -> str:
    """Return a plan with this one task; it has the same content hash."""
    model, settings = manifest.model(task.model), manifest.settings
    recipe = task.recipe
    content = {
        "name": model.name,
        "threads": settings.threads,
        "batches": list(settings.batches),
        "serving": list(settings.serving),
        "samples": settings.samples,
        "calibration_samples": settings.calibration_samples,
        "seed": settings.seed,
        "task_minutes": manifest.task_minutes,
        "recipes": [recipe.name],
    }
    lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
    lines += ["", "[limits]"]
    limits = msgspec.to_builtins(model.limits)
    lines += [f"{key} = {_toml(value)}" for key, value in limits.items()]
    if recipe.steps:
        steps = [{"method": step.method, **step.options} for step in recipe.steps]
        lines += ["", "[[recipe]]", f"name = {_toml(recipe.name)}", f"steps = {_toml(steps)}"]
    lines += ["", "[[model]]"]
    for key, value in msgspec.to_builtins(model.spec).items():
        if value is not None and key not in ("recipes", "limits"):
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Return a plain value as TOML; a None inside a table is left out."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items() if item is not None)
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    # JSON's texts, numbers and booleans are TOML's.
    return msgspec.json.encode(value).decode()
