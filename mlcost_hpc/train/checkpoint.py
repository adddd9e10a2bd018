"""Writing and reading checkpoints with torch: whole or not at all, checked, and safe to load."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import torch

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train import atomic, store
from mlcost_hpc.train.attempts import utc_now
from mlcost_hpc.train.manifest import FileSum, Manifest, write_manifest
from mlcost_hpc.train.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED_FILE = "shared.pt"


class Restored(NamedTuple):
    """A checkpoint that was read back.

    Attributes:
        step: steps done.
        shared: the state all processes have in common.
        own: this process's own state; None when the checkpoint was made by fewer processes.
        path: its folder.
    """

    step: int
    shared: dict[str, Any]
    own: dict[str, Any] | None
    path: Path


class Checkpointer:
    """Keeps the checkpoints of one run in one folder.

    A save goes into a folder of a unique name beside the others, is brought to disk, gets a manifest with
    checksums, and only then its final name. A process killed at any moment leaves the earlier
    checkpoints as they were.

    Args:
        folder: the folder of checkpoints; made when the first one is written.
        keep_last: how many of the newest stay; at least 2, so that one damaged by the disk is not the end.
        keep_best: how many of those with the lowest score stay besides.
        ranks: the processes that train together; all of them must call :meth:`save` and :meth:`restore`.
        owner: the attempt that writes, ``<job id>.<restart>``.

    Raises:
        UsageError: ``keep_last`` is below 2.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        keep_last: int = 2,
        keep_best: int = 0,
        ranks: Ranks | None = None,
        owner: str = "local.0",
    ) -> None:
        if keep_last < 2:
            msg = f"keep_last must be at least 2 (one to fall back on), not {keep_last}"
            raise UsageError(msg)
        self.folder = Path(folder)
        self._keep_last = keep_last
        self._keep_best = keep_best
        self._ranks = ranks or Ranks()
        self._owner = owner
        self._damaged: set[Path] = set()

    def save(
        self,
        step: int,
        shared: Mapping[str, Any],
        own: Mapping[str, Any] | None = None,
        *,
        score: float | None = None,
    ) -> Path:
        """Write one checkpoint and let older ones go.

        Args:
            step: steps done.
            shared: state that all processes have in common; written by the first one.
            own: state of this process.
            score: figure of merit for ``keep_best``, lower is better.

        Returns:
            The folder of the checkpoint.

        Raises:
            CheckpointError: it could not be written (by any process); earlier ones are untouched.
        """
        final = self.folder / store.checkpoint_name(step)
        temporary = self._ranks.from_first(store.temporary_folder(self.folder, self._owner))
        problem = None
        files: dict[str, FileSum] = {}
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            if self._ranks.is_first:
                files[SHARED_FILE] = write_state(temporary / SHARED_FILE, dict(shared))
            name = own_file(self._ranks.rank)
            files[name] = write_state(temporary / name, dict(own or {}))
        except (OSError, RuntimeError) as error:
            problem = f"{type(error).__name__}: {error}"
        answers = self._ranks.gather((problem, files))
        problem = next((problem for problem, _ in answers if problem), None)
        if problem is None and self._ranks.is_first:
            merged = {name: summed for _, part in answers for name, summed in part.items()}
            manifest = Manifest(
                step=step, created=utc_now(), world=self._ranks.world, files=merged, score=score
            )
            try:
                write_manifest(temporary, manifest)
                store.publish(temporary, final)
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
        problem = self._ranks.from_first(problem)
        if problem is not None:
            if self._ranks.is_first:
                shutil.rmtree(temporary, ignore_errors=True)
            msg = (
                f"the checkpoint of step {step} could not be written ({problem}); earlier ones are untouched"
            )
            raise CheckpointError(msg)
        if self._ranks.is_first:
            self._damaged.discard(final)
            self._prune()
        return final

    def restore(self) -> tuple[Restored | None, list[store.PassedOver]]:
        """Read the newest checkpoint that is whole; the first process checks, all read.

        Returns:
            What was read, or None when there is none; and the newer ones that were passed over as damaged.

        Raises:
            CheckpointError: a checkpoint whose bytes are right still cannot be loaded.
        """
        entry: store.Entry | None = None
        passed_over: list[store.PassedOver] = []
        if self._ranks.is_first:
            store.remove_remains(self.folder, self._owner)
            entry, passed_over = store.find_newest_valid(self.folder)
        entry, passed_over = self._ranks.from_first((entry, passed_over))
        self._damaged.update(item.path for item in passed_over)
        if entry is None:
            return None, passed_over
        own_path = entry.path / own_file(self._ranks.rank)
        own = read_state(own_path) if own_path.exists() else None
        shared = read_state(entry.path / SHARED_FILE)
        return Restored(entry.step, shared, own, entry.path), passed_over

    def _prune(self) -> None:
        """Let old checkpoints go; one that cannot be deleted must not stop the training."""
        entries = store.list_checkpoints(self.folder)
        for entry in store.choose_removable(
            entries, keep_last=self._keep_last, keep_best=self._keep_best, damaged=self._damaged
        ):
            try:
                atomic.remove_folder(entry.path)
            except OSError:
                continue


def own_file(rank: int) -> str:
    """Return the name of the file with the state of process ``rank`` alone."""
    return f"own-{rank:05d}.pt"


class _SummingWriter:
    """A file for ``torch.save`` that sums what passes through, so that nothing is read a second time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._size += len(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error  # torch reports a position that it did not expect, and hides the reason
            raise

    def flush(self) -> None:
        self._file.flush()

    def sum(self) -> FileSum:
        return FileSum(self._size, self._digest.hexdigest())


def write_state(path: Path, state: dict[str, Any]) -> FileSum:
    """Write ``state`` to a new file, bring it to disk, and return its size and checksum.

    Raises:
        OSError: the disk is full, the quota is spent, ...
        RuntimeError: torch could not write it.
    """
    with path.open("xb") as file:
        writer = _SummingWriter(file)
        try:
            torch.save(state, writer)  # type: ignore[arg-type]  # torch asks for write() and flush() only
        except RuntimeError:
            if writer.error is not None:
                raise writer.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
        return writer.sum()


def read_state(path: Path) -> dict[str, Any]:
    """Read a file of :func:`write_state` onto the CPU, running no code from it.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise many kinds
        msg = f"{path} cannot be loaded: {error}"
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"{path} cannot be loaded: it holds a {type(state).__name__}, not a dict"
        raise CheckpointError(msg)
    return state
