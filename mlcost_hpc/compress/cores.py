"""Cores of this node for one measurement; two tasks of one user never measure on the same ones.

Where Slurm confines a task to its cores, they are taken as they are. Where it does not, tasks on a node agree
through locks on small files in the node's temporary folder; a lock ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAUSE_S = 0.2


def lock_folder() -> Path:
    """Return the folder of this user's locks on this node."""
    return Path(tempfile.gettempdir()) / f"mlcost-cores-{os.getuid()}"


@contextmanager
def pinned(count: int, folder: Path, *, patience_s: float) -> Iterator[tuple[int, ...]]:
    """Pin this process to ``count`` free cores while the body runs; give them, or none when none got free.

    Args:
        count: how many cores.
        folder: where the locks are.
        patience_s: how long to wait for free cores before measuring without pinning.
    """
    allowed = os.sched_getaffinity(0)
    handles, cores = _take(sorted(allowed), min(count, len(allowed)), folder, patience_s)
    try:
        if cores:
            os.sched_setaffinity(0, cores)
        yield cores
    finally:
        os.sched_setaffinity(0, allowed)
        for handle in handles:
            os.close(handle)


def _take(
    allowed: Sequence[int], count: int, folder: Path, patience_s: float
) -> tuple[list[int], tuple[int, ...]]:
    deadline = time.monotonic() + patience_s
    while True:
        handles, cores = _try_take(allowed, count, folder)
        if cores or time.monotonic() >= deadline:
            return handles, cores
        # Locks of several files cannot be waited for at once; this wait is bounded and cheap.
        time.sleep(_PAUSE_S)


def _try_take(allowed: Sequence[int], count: int, folder: Path) -> tuple[list[int], tuple[int, ...]]:
    handles: list[int] = []
    cores: list[int] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for core in allowed:
            handle = os.open(folder / f"core-{core}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            handles.append(handle)
            cores.append(core)
            if len(cores) == count:
                return handles, tuple(cores)
    except OSError:
        # A read-only or full temporary folder: measuring unpinned is better than not at all.
        pass
    for handle in handles:
        os.close(handle)
    return [], ()
