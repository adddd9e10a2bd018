"""What becomes of checkpoints that a run no longer needs: deleted, or moved to cheaper storage.

The rules are pure; nothing here needs torch. A checkpoint that was moved leaves a link, so it is still found
when a run is started again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import atomic
from mlcost_hpc.train.manifest import find_content_problem
from mlcost_hpc.train.store import choose_removable, find_newest_valid, list_checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlcost_hpc.train.store import Entry

_SEARCH_DEPTH = 4


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Which checkpoints of a run are let go.

    Attributes:
        keep_last: how many of the newest whole ones stay, at least 1.
        keep_best: how many of those with the lowest score stay besides.
        older_than_s: only those made at least so many seconds ago go.
    """

    keep_last: int = 2
    keep_best: int = 0
    older_than_s: float = 0.0


def choose(entries: Sequence[Entry], rule: Rule, *, now: float, protected: Path | None) -> list[Entry]:
    """Return the checkpoints of one run that the rule lets go, oldest first.

    Args:
        entries: all of them.
        rule: the rule.
        now: seconds since the epoch.
        protected: the newest one whose content was checked; it stays whatever the rule says.
    """
    removable = choose_removable(entries, keep_last=rule.keep_last, keep_best=rule.keep_best)
    return sorted(
        (
            entry
            for entry in removable
            if entry.path != protected and now - _made_at(entry) >= rule.older_than_s
        ),
        key=lambda entry: entry.step,
    )


def _made_at(entry: Entry) -> float:
    if entry.manifest is not None:
        return datetime.fromisoformat(entry.manifest.created).timestamp()
    return entry.path.stat().st_mtime


def plan(run: Path, rule: Rule, *, now: float) -> list[Entry]:
    """Look at the checkpoints of a run and return those that the rule lets go.

    The newest one whose every byte is right is found by reading it; while none is, none goes.
    """
    folder = run / "checkpoints"
    newest, _ = find_newest_valid(folder)
    if newest is None:
        return []
    return choose(list_checkpoints(folder), rule, now=now, protected=newest.path)


def find_runs(roots: Iterable[Path]) -> list[Path]:
    """Return the run folders at or under ``roots``, sorted: those that have a folder ``checkpoints``.

    Raises:
        CheckpointError: one of the roots is no folder.
    """
    runs: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            msg = f"{root} is no folder"
            raise CheckpointError(msg)
        runs.update(_search(root, _SEARCH_DEPTH))
    return sorted(runs)


def _search(folder: Path, depth: int) -> list[Path]:
    if (folder / "checkpoints").is_dir():
        return [folder]
    if depth == 0:
        return []
    found = []
    with os.scandir(folder) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                found += _search(Path(item.path), depth - 1)
    return found


def remove(entry: Entry) -> None:
    """Delete a checkpoint, also one that was moved away before.

    Raises:
        CheckpointError: it cannot be deleted.
    """
    try:
        if entry.path.is_symlink():
            moved = _find_moved(entry.path)
            entry.path.unlink()
            if moved is not None:
                atomic.remove_folder(moved)
        else:
            atomic.remove_folder(entry.path)
    except FileNotFoundError:
        return  # the run itself was quicker
    except OSError as error:
        msg = f"{entry.path} cannot be deleted: {error.strerror}"
        raise CheckpointError(msg) from error


def _find_moved(link: Path) -> Path | None:
    """Return the folder that :func:`move` left ``link`` for; None when the link is somebody's own work.

    An operator cleans up after users: a link planted by one of them must not lead to other things.
    """
    target = link.resolve()
    is_ours = target.name == link.name and target.parent.name == _run_label(link.parent.parent)
    if not is_ours or not target.is_dir() or target.stat().st_uid != link.lstat().st_uid:
        return None
    return target


def move(entry: Entry, shelf: Path) -> Path:
    """Move a whole checkpoint to other storage and leave a link; return its new folder.

    It is copied, checked there against its checksums, and only then taken away here.

    Args:
        entry: the checkpoint; not one that was moved already.
        shelf: folder for moved checkpoints of all runs.

    Raises:
        CheckpointError: it cannot be copied, or arrives damaged; it is then still here.
    """
    if entry.manifest is None or entry.path.is_symlink():
        why = "damaged" if entry.manifest is None else "moved already"
        msg = f"{entry.path} cannot be moved: it is {why}"
        raise CheckpointError(msg)
    target = shelf / _run_label(entry.path.parent.parent) / entry.path.name
    temporary = target.with_name(f".tmp-move-{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(entry.path, temporary, copy_function=_copy_to_disk)
        problem = find_content_problem(temporary, entry.manifest)
        if problem is None:
            atomic.sync_folder(temporary)
            temporary.rename(target)
            atomic.sync_folder(target.parent)
            _put_link(entry.path, target)
    except OSError as error:
        problem = error.strerror or str(error)
    if problem is not None:
        shutil.rmtree(temporary, ignore_errors=True)
        msg = f"{entry.path} cannot be moved to {shelf}: {problem}"
        raise CheckpointError(msg)
    return target


def _run_label(run: Path) -> str:
    """Return a folder name for a run: its own name, and a digest of the whole path against mix-ups."""
    return f"{run.name}-{hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:8]}"


def _copy_to_disk(source: str, target: str) -> None:
    shutil.copy2(source, target)
    handle = os.open(target, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_link(path: Path, target: Path) -> None:
    """Replace a folder by a link to its copy; between the two renames the copy can be found on the shelf."""
    link = path.with_name(f".gone-link-{uuid.uuid4().hex}")
    link.symlink_to(target.resolve(), target_is_directory=True)
    aside = path.with_name(f".gone-{path.name}-{uuid.uuid4().hex}")
    path.rename(aside)
    link.rename(path)
    atomic.sync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)
