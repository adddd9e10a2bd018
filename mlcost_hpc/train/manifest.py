"""What a checkpoint must contain to be whole: names, sizes and checksums of its files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.train import atomic

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_FILE = "manifest.json"
_CHUNK = 4 * 1024 * 1024


class FileSum(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The table of contents of one checkpoint; written last, so its presence means "complete".

    Attributes:
        format: layout version of the checkpoint folder.
        step: steps done.
        created: UTC, ISO 8601.
        world: number of processes that trained.
        files: path inside the checkpoint -> size and checksum.
        score: figure of merit for keep-best, lower is better; None when the run gave none.
    """

    format: int = 1
    step: int
    created: str
    world: int
    files: dict[str, FileSum]
    score: float | None = None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files.values())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the checkpoint in ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    atomic.write_file(folder / MANIFEST_FILE, msgspec.json.encode(manifest) + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the checkpoint in ``folder``.

    Raises:
        ValueError: it is missing or damaged; the text says which.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ValueError("it has no manifest") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"its manifest cannot be read ({error})"
        raise ValueError(msg) from error


def sum_file(path: Path) -> FileSum:
    """Return size and checksum of a file, reading it once.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileSum(size, digest.hexdigest())


def find_size_problem(folder: Path, manifest: Manifest) -> str | None:
    """Return what is wrong with the files' presence and sizes; None when nothing is. Reads no content."""
    for name, expected in manifest.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if size != expected.size:
            return f"{name} has {size} bytes instead of {expected.size}"
    return None


def find_content_problem(folder: Path, manifest: Manifest) -> str | None:
    """Return what is wrong with the files' content; None when nothing is. Reads everything."""
    for name, expected in manifest.files.items():
        try:
            found = sum_file(folder / name)
        except OSError as error:
            return f"{name} cannot be read ({error.strerror or error})"
        if found != expected:
            return f"{name} does not match its checksum"
    return None
