"""Slurm commands on PATH that are not Slurm's: small scripts, and a player of recorded answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

REPLAY = Path(__file__).parents[2] / "fakebin" / "replay.py"
COMMANDS = ("scontrol", "squeue", "sacct", "sinfo")


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of Slurm commands on PATH, empty at first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def script(bin_folder: Path) -> Callable[[str, str], Path]:
    """Put a shell script on PATH under the name of a command."""

    def write(name: str, body: str) -> Path:
        path = bin_folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(scope="session")
def player(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Make a folder of Slurm commands that answer from a folder of recorded answers; return it."""

    def make(answers: Path) -> Path:
        folder = tmp_path_factory.mktemp("player")
        (folder / "answers-from").write_text(str(answers))
        for name in COMMANDS:
            path = folder / name
            path.write_text(f"#!{sys.executable} -SE\n{REPLAY.read_text()}")
            path.chmod(0o755)
        return folder

    return make
