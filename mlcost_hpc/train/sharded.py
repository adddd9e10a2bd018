"""Models that no process holds whole (FSDP, tensor parallel): each process writes and reads its shards.

Uses torch's distributed checkpoints, so a run may go on with another number of processes.

::

    run.sharded_state(net=Sharded(model, optimizer))
"""

from __future__ import annotations

import os
import pickle
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint import filesystem as dcp_filesystem
from torch.distributed.checkpoint import metadata as dcp_metadata
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import DTensor

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import atomic
from mlcost_hpc.train.groups import Group
from mlcost_hpc.train.manifest import FileSum, sum_file
from mlcost_hpc.train.tree import count_bytes

if TYPE_CHECKING:
    from pathlib import Path

_METADATA_FILE = ".metadata"


class Sharded:
    """A sharded model with its optimizer, as one part of a checkpoint.

    Args:
        model: the module after ``fully_shard`` (or with other ``DTensor`` parameters).
        optimizer: made from the sharded parameters.
    """

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model = model
        self._optimizer = optimizer
        # Pinned memory, got once, where a GPU writes into it; torch's stager has no other that it keeps.
        self._stager = BlockingAsyncStager(cache_staged_state_dict=torch.cuda.is_available())
        self._group: Group | None = None

    @property
    def local_size(self) -> int:
        """Bytes of this process's shards."""
        return count_bytes(_to_local(self._state()))

    def stage(self) -> StagedShards:
        """Return a copy of the present state in host memory; all processes must call it alike.

        The copy before is lost: it is written into again where GPUs are.
        """
        if self._group is None and not _alone():
            self._group = Group()  # of its own: it is used beside the training
        return StagedShards(self._stager.stage(self._state()), self._group)

    def write(self, folder: Path) -> dict[str, FileSum]:
        """Write this process's shards into ``folder``; all processes must call it alike.

        Raises:
            CheckpointError: a process could not write.
        """
        return _write(folder, self._state(), None)

    def read(self, folder: Path) -> None:
        """Put model and optimizer back; all processes must call it alike.

        Raises:
            CheckpointError: the shards do not fit or cannot be read.
        """
        state = self._state()
        try:
            state_dict_loader.load(state, storage_reader=_SafeReader(folder), no_dist=_alone())
        except (CheckpointException, pickle.UnpicklingError, RuntimeError, KeyError) as error:
            msg = f"the shards in {folder} cannot be loaded: {_first_line(error)}"
            raise CheckpointError(msg) from error
        set_state_dict(
            self._model,
            self._optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )

    def _state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self._model, self._optimizer)
        return {"model": model, "optimizer": optimizer}


class StagedShards:
    """A copy of sharded state, to be written beside the training.

    Args:
        state: the copy.
        group: the processes, with communication that nobody else uses meanwhile; None = alone.
    """

    def __init__(self, state: dict[str, Any], group: Any) -> None:
        self._state = state
        self._group = group

    def write(self, folder: Path) -> dict[str, FileSum]:
        """Write this process's shards into ``folder``; all processes must call it alike.

        Raises:
            CheckpointError: a process could not write.
        """
        return _write(folder, self._state, self._group and self._group.handle)

    def read(self, folder: Path) -> None:
        """A copy is written only.

        Raises:
            CheckpointError: always.
        """
        msg = f"{folder} cannot be read into a copy"
        raise CheckpointError(msg)


def _write(folder: Path, state: dict[str, Any], group: Any) -> dict[str, FileSum]:
    try:
        writer = dcp_filesystem.FileSystemWriter(folder, sync_files=True)
        state_dict_saver.save(state, storage_writer=writer, process_group=group, no_dist=_alone())
    except CheckpointException as error:
        msg = f"the shards could not be written: {_first_line(error)}"
        raise CheckpointError(msg) from error
    rank = 0 if _alone() else dist.get_rank()
    files = {path.name: sum_file(path) for path in folder.glob(f"__{rank}_*.distcp")}
    if rank == 0:
        files[_METADATA_FILE] = sum_file(folder / _METADATA_FILE)
        atomic.sync_folder(folder)
    return files


def _to_local(value: Any) -> Any:
    """Return a tree with this process's shards in the place of sharded tensors."""
    if isinstance(value, dict):
        return {key: _to_local(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_local(item) for item in value]
    return value.to_local() if isinstance(value, DTensor) else value


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized())


def _first_line(error: BaseException) -> str:
    if isinstance(error, CheckpointException) and error.failures:
        rank, (cause, _) = next(iter(error.failures.items()))
        return f"process {rank}: {type(cause).__name__}: {cause}"
    return str(error)


class _SafeReader(dcp_filesystem.FileSystemReader):
    """torch's reader, which unpickles its table of contents; this one runs no code from it."""

    def read_metadata(self, *_: Any, **__: Any) -> dcp_metadata.Metadata:
        with open(os.path.join(self.path, _METADATA_FILE), "rb") as file:  # noqa: PTH118, PTH123 - torch's type
            metadata = _TableUnpickler(file).load()
        if not isinstance(metadata, dcp_metadata.Metadata):
            raise pickle.UnpicklingError("it is no table of contents")
        if metadata.storage_meta is None:
            metadata.storage_meta = dcp_metadata.StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _TableUnpickler(pickle.Unpickler):
    """Knows the handful of plain record types that torch's table of contents is made of."""

    def find_class(self, module: str, name: str) -> Any:
        if module == dcp_metadata.__name__ and isinstance(getattr(dcp_metadata, name, None), type):
            return getattr(dcp_metadata, name)
        if module == dcp_filesystem.__name__ and name in {"_StorageInfo", "_StoragePrefix"}:
            return getattr(dcp_filesystem, name)
        if module == "torch" and (name == "Size" or isinstance(getattr(torch, name, None), torch.dtype)):
            return getattr(torch, name)
        if (module, name) == ("torch.serialization", "_get_layout"):
            return torch.serialization._get_layout
        if (module, name) in {("pathlib", "PosixPath"), ("pathlib._local", "PosixPath")}:
            return PurePosixPath  # the folder it was written to; nothing reads it
        msg = f"{module}.{name} has no place in a table of contents"
        raise pickle.UnpicklingError(msg)
