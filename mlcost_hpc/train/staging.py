"""Data sets on node-local disks: copied once, used by all processes and by later jobs on the node.

Needs no torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mlcost_hpc.errors import MlcostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SPARE = 0.05
"""Share of the local disk that is left free."""


def local_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the node-local folder to use: $MLCOST_LOCAL_DIR, $SLURM_TMPDIR, or the temporary folder."""
    for name in ("MLCOST_LOCAL_DIR", "SLURM_TMPDIR"):
        if environment.get(name):
            return Path(environment[name])
    return Path(environment.get("TMPDIR") or tempfile.gettempdir())


def stage(source: Path | str, root: Path | None = None) -> Path:
    """Return a node-local copy of a file or folder, made if there is none yet.

    Processes that ask at the same time wait for one that copies. A copy is used again as long as names,
    sizes and modification times of the source are the same. When it does not fit, the source itself is
    returned, with one line on stderr.

    Args:
        source: file or folder, usually on a shared file system.
        root: node-local folder; :func:`local_root` by default.

    Raises:
        MlcostError: the source is missing, or the place for copies belongs to somebody else.
    """
    source = Path(source).resolve()
    if not source.exists():
        msg = f"there is no data at {source}"
        raise MlcostError(msg)
    home = _private_folder(root or local_root())
    files = list(_files(source))
    target = home / f"{source.name}-{_digest(source, files)}"
    with FileLock(home / f"{target.name}.lock"):
        if target.exists():
            return target / source.name
        size = sum(status.st_size for _, status in files)
        disk = shutil.disk_usage(home)
        if size > disk.free - _SPARE * disk.total:
            _say(f"{source} ({size / 1e9:.1f} GB) does not fit into {home}; it is used where it is")
            return source
        return _copy(source, target)


def _copy(source: Path, target: Path) -> Path:
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
    try:
        if source.is_dir():
            shutil.copytree(source, temporary / source.name)
        else:
            shutil.copy2(source, temporary / source.name)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _say(f"{source} cannot be copied ({error.strerror or error}); it is used where it is")
        return source
    return target / source.name


def _files(source: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if source.is_file():
        yield source, source.stat()
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            yield path, path.stat()


def _digest(source: Path, files: list[tuple[Path, os.stat_result]]) -> str:
    digest = hashlib.sha256(os.fsencode(source))
    for path, status in files:
        digest.update(os.fsencode(path.relative_to(source)) + b"\0")
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _private_folder(root: Path) -> Path:
    """Return the user's own folder under a place that is shared by all users of the node."""
    home = root / f"mlcost-data-{os.geteuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.lstat()
    if home.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        msg = f"{home} belongs to somebody else or is open to others: it is not used for data"
        raise MlcostError(msg)
    return home


def _say(line: str) -> None:
    print(f"mlcost: {line}", file=sys.stderr, flush=True)
