"""Keeps a run that was taken for dead from writing over its successor's checkpoints.

Slurm may start a job again while processes of its former run live on, on a node that was only cut off. Who
begins later takes the folder: it leaves a token there, and a save is published only while the token is the
writer's own. The look at the token and the rename that follows are two operations, so a save that is being
published in the very moment of the takeover still appears; it is whole, and of the same training.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import SupersededError
from mlcost_hpc.train import atomic

if TYPE_CHECKING:
    from pathlib import Path

OWNER_FILE = ".owner"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes checkpoints.

    Attributes:
        owner: the attempt, ``<job id>.<restart>``.
        mark: tells two processes of one name apart.
    """

    owner: str
    mark: str


class Fence:
    """The right of one attempt to publish checkpoints in a folder.

    Args:
        folder: the folder of checkpoints.
        owner: the attempt, ``<job id>.<restart>``.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self._path = folder / OWNER_FILE
        self._token = Token(owner=owner, mark=uuid.uuid4().hex)
        self._is_taken = False

    def take(self) -> None:
        """Take the folder over from whoever had it.

        On a disk that is full nothing is taken, and nothing is refused later: training goes before fencing.

        Raises:
            SupersededError: a later attempt of the same job has it.
        """
        found = self._read()
        if found is not None and _is_later(found.owner, self._token.owner):
            raise SupersededError(self._describe(found))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(self._path, msgspec.json.encode(self._token) + b"\n")
        except OSError:
            return
        self._is_taken = True

    def check(self) -> None:
        """Make sure that nobody has taken the folder over since.

        Raises:
            SupersededError: somebody has.
        """
        found = self._read() if self._is_taken else None
        if found is not None and found != self._token:
            raise SupersededError(self._describe(found))

    def _describe(self, found: Token) -> str:
        return (
            f"attempt {found.owner} has taken over {self._path.parent}; attempt {self._token.owner} writes "
            "there no more"
        )

    def _read(self) -> Token | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Token)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None


def _is_later(found: str, mine: str) -> bool:
    """Tell whether an attempt is a later one of the same job."""
    job, _, restart = mine.rpartition(".")
    other_job, _, other_restart = found.rpartition(".")
    numbers = restart.isdecimal() and other_restart.isdecimal()
    return job == other_job and numbers and int(other_restart) > int(restart)
