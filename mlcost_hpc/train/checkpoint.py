"""Writing and reading checkpoints: whole or not at all, checked, by one process or by many together."""

from __future__ import annotations

import shutil
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from mlcost_hpc.errors import CheckpointError, SupersededError, UsageError
from mlcost_hpc.train import lifecycle, store
from mlcost_hpc.train.attempts import utc_now
from mlcost_hpc.train.fence import Fence
from mlcost_hpc.train.manifest import FileSum, Manifest, write_manifest
from mlcost_hpc.train.ranks import Ranks
from mlcost_hpc.train.statefile import read_state, write_state

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

SHARED_FILE = "shared.pt"
OPTIONAL_FILE = "optional.pt"


class Part(Protocol):
    """State that all processes write together, e.g. the shards of a model that no process holds whole."""

    def write(self, folder: Path) -> dict[str, FileSum]:
        """Write into the new ``folder``; return what this process has written, by path inside it."""

    def read(self, folder: Path) -> None:
        """Take back what :meth:`write` wrote."""


@runtime_checkable
class StageablePart(Part, Protocol):
    """A part that can be copied quickly, so that the copy is written beside the training."""

    @property
    def local_size(self) -> int:
        """Bytes that this process has to copy."""

    def stage(self) -> Part:
        """Return a copy of the present state; all processes call it alike."""


class Restored(NamedTuple):
    """A checkpoint that was read back.

    Attributes:
        step: steps done.
        shared: the state all processes have in common.
        own: this process's own state; None when the checkpoint was made by fewer processes.
        optional: state in common that may be missing; empty then.
        path: its folder.
    """

    step: int
    shared: dict[str, Any]
    own: dict[str, Any] | None
    optional: dict[str, Any]
    path: Path


class Checkpointer:
    """Keeps the checkpoints of one run in one folder.

    A save goes into a folder of a unique name beside the others, is brought to disk, gets a manifest with
    checksums, and only then its final name. A process killed at any moment leaves the earlier
    checkpoints as they were. Who calls :meth:`restore` has the folder from then on: saves of one who had it
    before are refused.

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
        self._fence = Fence(self.folder, owner)
        self._damaged: set[Path] = set()

    def over(self, ranks: Ranks) -> Checkpointer:
        """Return a checkpointer of the same folder and rules that talks over other communication."""
        other = copy(self)  # shares what is known about damaged checkpoints, and the right to publish
        other._ranks = ranks
        return other

    def save(
        self,
        step: int,
        shared: Mapping[str, Any],
        own: Mapping[str, Any] | None = None,
        *,
        optional: Mapping[str, Any] | None = None,
        parts: Mapping[str, Part] = MappingProxyType({}),
        score: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> Path:
        """Write one checkpoint and let older ones go.

        Args:
            step: steps done.
            shared: state that all processes have in common; written by the first one.
            own: state of this process.
            optional: state in common that a run can do without.
            parts: what the processes write together, by the name of its folder.
            score: figure of merit for ``keep_best``, lower is better.
            cancelled: set by another thread to make the save give up.

        Returns:
            The folder of the checkpoint.

        Raises:
            CheckpointError: it could not be written (by any process); earlier ones are untouched.
            SupersededError: another attempt has taken the folder over.
        """
        final = self.folder / store.checkpoint_name(step)
        temporary = self._ranks.from_first(store.temporary_folder(self.folder, self._owner))
        mine: dict[str, dict[str, Any]] = {own_file(self._ranks.rank): dict(own or {})}
        if self._ranks.is_first:
            mine[SHARED_FILE] = dict(shared)
            if optional:
                mine[OPTIONAL_FILE] = dict(optional)
        problem: str | SupersededError | None
        files, written_problem = _write_all(temporary, mine, cancelled)
        problem = self._agree(written_problem)
        for name, part in parts.items():
            if problem is None:
                written, part_problem = _write_part(part, temporary, name)
                files |= written
                problem = self._agree(part_problem)
        answers = self._ranks.gather(files)
        if problem is None and self._ranks.is_first:
            merged = {name: summed for answer in answers for name, summed in answer.items()}
            manifest = Manifest(
                step=step, created=utc_now(), world=self._ranks.world, files=merged, score=score
            )
            problem = _publish(temporary, final, manifest, self._fence)
        problem = self._ranks.from_first(problem)
        if problem is not None:
            if self._ranks.is_first:
                shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(problem, SupersededError):
                raise problem
            msg = (
                f"the checkpoint of step {step} could not be written ({problem}); earlier ones are untouched"
            )
            raise CheckpointError(msg)
        if self._ranks.is_first:
            self._damaged.discard(final)
            self._prune()
        return final

    def restore(
        self, parts: Mapping[str, Part] = MappingProxyType({})
    ) -> tuple[Restored | None, list[store.PassedOver]]:
        """Read the newest checkpoint that is whole; the first process checks, all read.

        Args:
            parts: what reads itself back, by name.

        Returns:
            What was read, or None when there is none; and the newer ones that were passed over as damaged.

        Raises:
            CheckpointError: a checkpoint whose bytes are right still cannot be loaded.
            SupersededError: a later attempt of the same job has the folder.
        """
        entry: store.Entry | None = None
        passed_over: list[store.PassedOver] = []
        superseded: SupersededError | None = None
        if self._ranks.is_first:
            try:
                self._fence.take()
            except SupersededError as error:
                superseded = error
            else:
                store.remove_remains(self.folder, self._owner)
                entry, passed_over = store.find_newest_valid(self.folder)
        entry, passed_over, superseded = self._ranks.from_first((entry, passed_over, superseded))
        if superseded is not None:
            raise superseded
        self._damaged.update(item.path for item in passed_over)
        if entry is None:
            return None, passed_over
        own_path = entry.path / own_file(self._ranks.rank)
        own = read_state(own_path) if own_path.exists() else None
        shared = read_state(entry.path / SHARED_FILE)
        optional_path = entry.path / OPTIONAL_FILE
        optional = read_state(optional_path) if optional_path.exists() else {}
        for name, part in parts.items():
            if not (entry.path / name).is_dir():
                msg = f"the checkpoint {entry.path} was made by a different script: it has no part {name!r}"
                raise CheckpointError(msg)
            part.read(entry.path / name)
        return Restored(entry.step, shared, own, optional, entry.path), passed_over

    def _agree(self, problem: str | None) -> str | None:
        """Return the first problem that any process has."""
        return next((problem for problem in self._ranks.gather(problem) if problem), None)

    def _prune(self) -> None:
        """Let old checkpoints go; one that cannot be deleted must not stop the training."""
        entries = store.list_checkpoints(self.folder)
        for entry in store.choose_removable(
            entries, keep_last=self._keep_last, keep_best=self._keep_best, damaged=self._damaged
        ):
            try:
                lifecycle.remove(entry)
            except CheckpointError:
                continue


def _write_all(
    folder: Path, states: Mapping[str, dict[str, Any]], cancelled: threading.Event | None
) -> tuple[dict[str, FileSum], str | None]:
    """Write files; return their sums and what went wrong, if anything."""
    files = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, state in states.items():
            files[name] = write_state(folder / name, state, cancelled)
    except (OSError, RuntimeError) as error:
        return files, f"{type(error).__name__}: {error}"
    return files, None


def _write_part(part: Part, folder: Path, name: str) -> tuple[dict[str, FileSum], str | None]:
    try:
        return {f"{name}/{file}": summed for file, summed in part.write(folder / name).items()}, None
    except (OSError, RuntimeError, CheckpointError) as error:
        return {}, f"{type(error).__name__}: {error}"


def _publish(temporary: Path, final: Path, manifest: Manifest, fence: Fence) -> str | SupersededError | None:
    try:
        write_manifest(temporary, manifest)
        fence.check()
        store.publish(temporary, final)
    except SupersededError as error:
        return error
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return None


def own_file(rank: int) -> str:
    """Return the name of the file with the state of process ``rank`` alone."""
    return f"own-{rank:05d}.pt"
