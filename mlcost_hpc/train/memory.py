"""How much memory is left to this process."""

from __future__ import annotations

from pathlib import Path


def free_memory(root: Path = Path("/")) -> int:
    """Return the bytes this process may still take: the machine's, or those of its control group if fewer.

    Args:
        root: where ``proc`` and ``sys`` are mounted; other than ``/`` for tests.

    Raises:
        OSError: ``/proc/meminfo`` cannot be read.
    """
    free = 0
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    return min([free, *_group_rooms(root)])


def _group_rooms(root: Path) -> list[int]:
    """Return what each control group (version 2) from the process's own up to the root still allows."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    names = [line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")]
    top = root / "sys/fs/cgroup"
    rooms = []
    for name in names:
        folder = top / name
        while folder != top.parent:
            room = _room(folder)
            if room is not None:
                rooms.append(room)
            folder = folder.parent
    return rooms


def _room(folder: Path) -> int | None:
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(int(limit) - used, 0) if limit.isdigit() else None
