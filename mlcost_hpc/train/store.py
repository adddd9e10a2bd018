"""The folder of checkpoints: what is there, which are whole, which may go. Needs no torch.

Layout::

    checkpoints/step-000000000400/      one checkpoint; the name appears by an atomic rename
        manifest.json                   sizes and checksums, written last
        shared.pt                       what all processes have in common
        own-00000.pt                    what each process has for itself (random numbers)
    checkpoints/.tmp-...                a save in progress, or the remains of a killed one
"""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import uuid
from typing import TYPE_CHECKING, NamedTuple

from mlcost_hpc.train import atomic
from mlcost_hpc.train.manifest import Manifest, find_content_problem, find_size_problem, read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

_NAME = re.compile(r"step-(\d{12,})")
_TEMPORARY = re.compile(r"\.(?:tmp|gone)-")


class Entry(NamedTuple):
    """One checkpoint folder as it looks from outside (no content read).

    Attributes:
        step: steps done, from the name.
        path: its folder.
        manifest: its table of contents; None when unreadable.
        problem: why it is not usable; None when it looks whole.
    """

    step: int
    path: Path
    manifest: Manifest | None
    problem: str | None


class PassedOver(NamedTuple):
    """A checkpoint that was not used, and why."""

    path: Path
    problem: str


def checkpoint_name(step: int) -> str:
    """Return the folder name of the checkpoint after ``step`` steps."""
    return f"step-{step:012d}"


def look(path: Path) -> Entry:
    """Look at one checkpoint folder: manifest and sizes, not content."""
    match = _NAME.fullmatch(path.name)
    step = int(match.group(1)) if match else -1
    try:
        manifest = read_manifest(path)
    except ValueError as error:
        return Entry(step, path, None, str(error))
    if manifest.step != step:
        return Entry(step, path, manifest, f"its manifest is that of step {manifest.step}")
    return Entry(step, path, manifest, find_size_problem(path, manifest))


def list_checkpoints(folder: Path) -> list[Entry]:
    """Return the checkpoints in ``folder``, newest first; an empty list when the folder is not there."""
    if not folder.is_dir():
        return []
    paths = (path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    return sorted((look(path) for path in paths), key=lambda entry: entry.step, reverse=True)


def find_newest_valid(folder: Path) -> tuple[Entry | None, list[PassedOver]]:
    """Return the newest checkpoint whose every byte is right, and the newer ones that are damaged."""
    passed_over: list[PassedOver] = []
    for entry in list_checkpoints(folder):
        problem = entry.problem
        if problem is None and entry.manifest is not None:
            problem = find_content_problem(entry.path, entry.manifest)
        if problem is None:
            return entry, passed_over
        passed_over.append(PassedOver(entry.path, problem))
    return None, passed_over


def choose_removable(
    entries: Sequence[Entry], *, keep_last: int, keep_best: int, damaged: Collection[Path] = ()
) -> list[Entry]:
    """Return the checkpoints that the keep rules let go; never the newest whole one.

    Args:
        entries: all checkpoints, any order.
        keep_last: how many of the newest whole ones stay, at least 1.
        keep_best: how many of those with the lowest score stay besides.
        damaged: paths known to be damaged though their sizes are right.

    Damaged ones older than the newest whole one go; newer ones stay for a person to look at.
    """
    whole = [entry for entry in entries if entry.problem is None and entry.path not in damaged]
    whole.sort(key=lambda entry: entry.step, reverse=True)
    if not whole:
        return []
    scored = [entry for entry in whole if entry.manifest is not None and entry.manifest.score is not None]
    scored.sort(key=lambda entry: (_score(entry), -entry.step))
    kept = {entry.path for entry in whole[: max(1, keep_last)]} | {entry.path for entry in scored[:keep_best]}
    return [entry for entry in entries if entry.path not in kept and entry.step <= whole[0].step]


def _score(entry: Entry) -> float:
    score = entry.manifest.score if entry.manifest else None
    return float("inf") if score is None or math.isnan(score) else score


def temporary_folder(folder: Path, owner: str) -> Path:
    """Return a new, unique, not yet existing folder name for a save.

    Args:
        folder: the folder of checkpoints.
        owner: the attempt, ``<job id>.<restart>``; tells whose remains they are after a kill.
    """
    return folder / f".tmp-{owner}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def remove_remains(folder: Path, owner: str) -> list[Path]:
    """Delete what killed saves and killed deletions left behind; return what was deleted.

    Only remains whose writer is certainly gone go: a process of this host that no longer exists, or an
    earlier attempt of the same job.
    """
    if not folder.is_dir():
        return []
    removed = []
    for path in folder.iterdir():
        if _TEMPORARY.match(path.name) and _is_orphan(path.name, owner):
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _is_orphan(name: str, owner: str) -> bool:
    if name.startswith(".gone-"):
        return True
    job, _, restart = owner.rpartition(".")
    whose = re.fullmatch(r"\.tmp-(?P<job>.+?)\.(?P<restart>\d+)-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{32}", name)
    if whose is None:
        return False
    if whose["job"] == job and job != "local" and whose["restart"] != restart:
        return True
    return whose["host"] == socket.gethostname() and not _is_alive(int(whose["pid"]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def publish(temporary: Path, final: Path) -> None:
    """Give a completely written checkpoint its name, in one step.

    A folder that already has the name (a damaged checkpoint of the same step) is put aside first.

    Raises:
        OSError: the rename failed; ``temporary`` is still there.
    """
    atomic.sync_folder(temporary)
    aside = None
    if final.exists():
        aside = final.with_name(f".gone-{final.name}-{uuid.uuid4().hex}")
        final.rename(aside)
    temporary.rename(final)
    atomic.sync_folder(final.parent)
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)
