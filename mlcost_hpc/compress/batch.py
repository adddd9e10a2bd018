"""The folder of a batch: where everything is, and files that appear whole or not at all.

::

    BATCH/                 private (mode 0700): models and results belong to their owner
      manifest.json        all tasks
      shared/<model key>/  what one model's tasks share: the original as ONNX, its answers
      results/<task id>/   result.json, the artefact, log.txt; checks/ and measured/ on other nodes
      work/<n>.json        lists of tasks, one array job each
      jobs/<job>.json      what was submitted

Every file that others read is written under a unique temporary name, synced and renamed, so that readers on
other nodes (NFS) see all of it or none, and two tasks that do the same work cannot harm each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from mlcost_hpc.compress.manifest import Manifest, Task
from mlcost_hpc.compress.records import Result
from mlcost_hpc.errors import CompressError
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")


class Batch:
    """One batch folder.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def manifest_path(self) -> Path:
        """The manifest's file."""
        return self.folder / "manifest.json"

    def shared(self, model_key: str) -> Path:
        """Return the folder of what the tasks of one model share."""
        return self.folder / "shared" / model_key

    def task_folder(self, task_id: str) -> Path:
        """Return the folder of one task."""
        return self.folder / "results" / task_id

    def checks_folder(self, task_id: str) -> Path:
        """Return the folder of what other processors answered."""
        return self.task_folder(task_id) / "checks"

    def measured_folder(self, task_id: str) -> Path:
        """Return the folder of later measurements."""
        return self.task_folder(task_id) / "measured"

    def result_path(self, task_id: str) -> Path:
        """Return the file of a task's result."""
        return self.task_folder(task_id) / "result.json"

    def so_far_path(self, task_id: str) -> Path:
        """Return the file of a task's best candidate while the task still runs."""
        return self.task_folder(task_id) / "so-far.json"

    def write_so_far(self, result: Result) -> None:
        """Keep the best candidate of a task that still runs, in one step."""
        self.task_folder(result.task).mkdir(parents=True, exist_ok=True)
        self._write(self.so_far_path(result.task), result)

    def so_far(self, task_id: str) -> Result | None:
        """Return the best candidate of a task that did not end, None when it had none that can be read."""
        path = self.so_far_path(task_id)
        try:
            return read_json(path, Result) if path.exists() else None
        except CompressError:
            return None

    def write_manifest(self, manifest: Manifest) -> None:
        """Make the folder and write the manifest.

        Raises:
            CompressError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self._write(self.manifest_path, manifest)
        except OSError as error:
            raise CompressError(f"{self.folder}: {error.strerror}") from error

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            CompressError: there is none, or it is damaged.
        """
        return read_json(self.manifest_path, Manifest)

    def row(self, task: Task) -> Result | None:
        """Return a task's row, None when it has none yet.

        A file that is damaged is a failed row which says so: one of a thousand must not hide the others.
        """
        path = self.result_path(task.id)
        try:
            return read_json(path, Result) if path.exists() else None
        except CompressError as error:
            return Result(
                task=task.id,
                model=task.model,
                recipe=task.recipe.name,
                status="failed",
                reason=str(error),
                next_step="submit again: the task is done anew",
                cause="damaged",
            )

    def results(self, tasks: tuple[Task, ...]) -> list[Result]:
        """Return the rows there are, in the order of the tasks."""
        return [row for task in tasks if (row := self.row(task)) is not None]

    def write_result(self, result: Result) -> None:
        """Write a task's result in one step.

        Raises:
            OSError: the disk is full or the quota is spent; nothing is left behind.
        """
        self.task_folder(result.task).mkdir(parents=True, exist_ok=True)
        self._write(self.result_path(result.task), result)

    @staticmethod
    def _write(path: Path, content: object) -> None:
        write_file(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def read_folder(folder: Path, shape: type[_T]) -> list[_T]:
    """Return every record of a folder by its file's name; those being written are passed over.

    Raises:
        CompressError: a record is damaged; names the file.
    """
    return [read_json(path, shape) for path in sorted(folder.glob("[!.]*.json"))]


def read_json(path: Path, shape: type[_T]) -> _T:
    """Return a JSON file as a record.

    Raises:
        CompressError: it cannot be read or has another shape; names the file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise CompressError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CompressError(f"{path} is damaged or of another version: {error}") from None
