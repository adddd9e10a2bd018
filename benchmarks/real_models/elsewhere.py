"""A benchmark's files as older classes of processors would run them: how far their answers move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.check import LARGEST_ERROR, read_checks
from mlcost_hpc.compress.hidden import CLASSES, check_like
from mlcost_hpc.compress.node import NODE_CLASSES
from mlcost_hpc.compress.verdict import portable
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest
    from mlcost_hpc.compress.records import Result


def older_than(made_on: str) -> tuple[str, ...]:
    """Return the classes for which a processor of a class can stand in, itself left out."""
    return tuple(name for name in CLASSES if NODE_CLASSES.index(name) > NODE_CLASSES.index(made_on))


def check_files(batch: Batch, manifest: Manifest, results: Sequence[Result]) -> None:
    """Check every file there is, within the limits or not, and tell what came of it."""
    for result in results:
        if not result.artefact or result.place is None:
            continue
        for name in older_than(result.place.node_class):
            try:
                said = check_like(batch, manifest.task(result.task), name).how_far
            except CompressError as error:
                said = f"not checked: {error}"
            print(f"{result.model} {result.recipe} like {name}: {said}", flush=True)


def errors_of(batch: Batch, result: Result) -> dict[str, float | None]:
    """Return class -> relative error of a file's answers there; None = not finite."""
    return {check.node_class: check.relative_error for check in read_checks(batch, result.task)}


def markdown(batch: Batch, results: Sequence[Result]) -> str:
    """Return a Markdown table, one line a different file, with its errors on each class."""
    makers: dict[str, list[Result]] = {}
    for result in results:
        if result.artefact and read_checks(batch, result.task):
            makers.setdefault(result.artefact_sha256, []).append(result)
    names = [name for name in CLASSES if any(name in errors_of(batch, r) for r in results)]
    lines = ["| model | recipe | status | " + " | ".join(names) + " | portable |"]
    lines.append("|" + "---|" * (len(names) + 4))
    for same in makers.values():
        first = same[0]
        errors = errors_of(batch, first)
        known = portable(read_checks(batch, first.task), first.place.node_class if first.place else "")
        recipes = ", ".join(result.recipe for result in same)
        statuses = ", ".join(f"`{status}`" for status in dict.fromkeys(result.status for result in same))
        cells = [_error(errors[name]) if name in errors else "-" for name in names]
        verdict = {True: "yes", False: "**no**", None: "-"}[known]
        lines.append(f"| {first.model} | {recipes} | {statuses} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines) + "\n"


def _error(error: float | None) -> str:
    if error is None:
        return "not finite"
    return f"{error:.2g}" if error else "0"


def portability(batch: Batch, results: Sequence[Result]) -> dict[str, object]:
    """Return how many files were checked, the worst of each class, and which are beyond the limit."""
    files = [result for result in results if result.artefact]
    found = {f"{r.model} {r.recipe} ({r.status})": errors_of(batch, r) for r in files}
    pairs = [(name, label, error) for label, errors in found.items() for name, error in errors.items()]
    worst = {
        name: max(((e, label) for n, label, e in pairs if n == name and e is not None), default=None)
        for name in sorted({name for name, _, _ in pairs})
    }
    return {
        "files": len(files),
        "different_files": len({result.artefact_sha256 for result in files}),
        "checked": sum(bool(errors) for errors in found.values()),
        "worst": worst,
        "beyond": [f"{label} like {name}" for name, label, e in pairs if e is None or e > LARGEST_ERROR],
    }
