"""Saving beside the training: a copy of the state is taken quickly, and written by a thread.

Memory is bounded: there is one copy, made once and used again for every save, and one save at a time.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


_NICE = 10
"""How far the writing thread stands back from the training where both want the same CPU."""


class _Room(NamedTuple):
    """What a copy of one storage needs: bytes, and whether a GPU writes into it."""

    size: int
    is_pinned: bool


class Stage:
    """Copies trees of tensors into host memory that is allocated once and used again."""

    def __init__(self) -> None:
        self._buffers: list[torch.Tensor] = []
        self._rooms: list[_Room] = []
        self._preparing: threading.Thread | None = None

    def prepare(self, tree: Any) -> None:
        """Begin to get the memory for copies of such a tree, beside the training.

        Getting memory from the system for the first time takes several times as long as copying.
        """
        self._preparing = threading.Thread(
            target=self._allocate, args=(_find_rooms(tree),), name="mlcost-stage", daemon=True
        )
        self._preparing.start()

    def copy(self, tree: Any) -> Any:
        """Return the tree with all tensors on the CPU, in this stage's memory; the previous copy is lost.

        Tensors that share memory in ``tree`` share it in the copy.
        """
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        copies: dict[tuple[str, int], torch.Tensor] = {}
        staged = self._walk(tree, copies)
        del self._buffers[len(copies) :]
        del self._rooms[len(copies) :]
        if any(device.startswith("cuda") for device, _ in copies):
            torch.cuda.synchronize()
        return staged

    @property
    def size(self) -> int:
        """Bytes of host memory held."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def _allocate(self, rooms: list[_Room]) -> None:
        _stand_back()
        for number, room in enumerate(rooms):
            self._buffer(number, room).zero_()  # the system gives memory when it is first written

    def _walk(self, value: Any, copies: dict[tuple[str, int], torch.Tensor]) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value.detach(), copies)
        if isinstance(value, dict):
            return type(value)((key, self._walk(item, copies)) for key, item in value.items())
        if type(value) in (list, tuple):
            return type(value)(self._walk(item, copies) for item in value)
        return value

    def _tensor(self, tensor: torch.Tensor, copies: dict[tuple[str, int], torch.Tensor]) -> torch.Tensor:
        if not _is_plain(tensor):
            return tensor.cpu().clone()  # rare kinds: a fresh copy each time
        storage = tensor.untyped_storage()
        key = _key(tensor)
        if key not in copies:
            source = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            buffer = self._buffer(len(copies), _Room(source.nbytes, tensor.is_cuda))
            copies[key] = buffer.copy_(source, non_blocking=True)
        whole = copies[key].untyped_storage()
        return torch.empty(0, dtype=tensor.dtype).set_(
            whole, tensor.storage_offset(), tensor.size(), tensor.stride()
        )

    def _buffer(self, number: int, room: _Room) -> torch.Tensor:
        if number < len(self._rooms) and self._rooms[number] == room:
            return self._buffers[number]
        buffer = torch.empty(room.size, dtype=torch.uint8, pin_memory=room.is_pinned)
        self._buffers[number:] = [buffer]
        self._rooms[number:] = [room]
        return buffer


def _find_rooms(tree: Any) -> list[_Room]:
    """Return what the copies of a tree need, in the order in which they are made."""
    rooms: dict[tuple[str, int], _Room] = {}

    def visit(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if _is_plain(value):
                rooms.setdefault(_key(value), _Room(value.untyped_storage().nbytes(), value.is_cuda))
        elif isinstance(value, dict):
            for item in value.values():
                visit(item)
        elif type(value) in (list, tuple):
            for item in value:
                visit(item)

    visit(tree)
    return list(rooms.values())


def _is_plain(tensor: torch.Tensor) -> bool:
    kind = type(tensor)
    is_tensor = kind is torch.Tensor or kind is torch.nn.Parameter
    return is_tensor and tensor.layout is torch.strided and not tensor.is_quantized


def _key(tensor: torch.Tensor) -> tuple[str, int]:
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _stand_back() -> None:
    """Let other threads have the CPU first; this one gets what they leave, and all of it when they wait."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Outcome(NamedTuple):
    """How a save in the background ended.

    Attributes:
        step: the step it is of.
        seconds: how long it took.
        error: why it failed; None when it did not.
    """

    step: int
    seconds: float
    error: Exception | None


class BackgroundWriter:
    """Runs one save at a time in a thread."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome: Outcome | None = None
        self._cancelled = threading.Event()
        self._step = 0
        self._began_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a save is being written."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def running_s(self) -> float | None:
        """For how long the present save has been written; None when there is none."""
        return time.monotonic() - self._began_at if self.is_busy else None

    def start(self, step: int, save: Callable[[threading.Event], Path]) -> None:
        """Begin a save; ``save`` is given an event that says that it should give up.

        A save that still runs is waited for first.
        """
        self.wait()
        self._cancelled.clear()
        self._outcome = None
        self._step = step
        self._began_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(save,), name="mlcost-save", daemon=True)
        self._thread.start()

    def take_outcome(self) -> Outcome | None:
        """Return how the latest save ended, once; None while it runs."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread = None
        outcome, self._outcome = self._outcome, None
        return outcome

    def wait(self) -> None:
        """Wait for the running save, if any."""
        if self._thread is not None:
            self._thread.join()

    def cancel(self) -> None:
        """Make the running save, if any, give up, and wait until it has."""
        self._cancelled.set()
        self.wait()

    def _run(self, save: Callable[[threading.Event], Path]) -> None:
        _stand_back()
        error: Exception | None = None
        try:
            save(self._cancelled)
        except Exception as problem:  # noqa: BLE001 - handed to the training thread
            error = problem
        self._outcome = Outcome(self._step, time.monotonic() - self._began_at, error)
