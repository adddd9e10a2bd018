"""Which backend is chosen, and why, with pyslurms that work, break and crash."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from mlcost_hpc.errors import SlurmAnswerError, UsageError
from mlcost_hpc.slurm.connect import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Stands for pyslurm as far as being tried out goes: it has a version and asks a controller for its own.
WORKING = """
__version__ = "{made_for}.2"
class PyslurmError(Exception): pass
class slurmctld:
    class Config:
        version = "{controller}.5"
        @staticmethod
        def load(): return slurmctld.Config()
"""


@pytest.fixture
def pyslurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a pyslurm with this text, for this process and for those it starts."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def install(text: str) -> None:
        (site / "pyslurm.py").write_text(text)
        monkeypatch.delitem(sys.modules, "pyslurm", raising=False)

    yield install  # type: ignore[misc]
    sys.modules.pop("pyslurm", None)


def working(made_for: str, controller: str) -> str:
    return WORKING.format(made_for=made_for, controller=controller)


def test_the_commands_as_asked_for() -> None:
    """An explicit choice is taken without a look at anything else."""
    connection = connect("cli")
    assert (connection.slurm.name, connection.why) == ("cli", "the commands, as asked for")


def test_without_pyslurm_the_commands_are_taken() -> None:
    """That is no problem and is said in one line."""
    connection = connect()
    assert (connection.slurm.name, connection.why) == ("cli", "the commands: pyslurm is not installed")


def test_a_pyslurm_that_fits_is_taken(pyslurm: Callable[[str], None]) -> None:
    """One that was made for the controller's release is better than the commands."""
    pyslurm(working("25.11", "25.11"))
    connection = connect()
    assert (connection.slurm.name, connection.why) == ("pyslurm", "pyslurm 25.11.2, which fits")


def test_a_pyslurm_for_another_release_is_not_taken(pyslurm: Callable[[str], None]) -> None:
    """Structures of another release would be misread; an explicit choice is obeyed all the same."""
    pyslurm(working("25.11", "26.05"))
    assert connect().why == "the commands: pyslurm 25.11 is not for Slurm 26.05"
    connection = connect("pyslurm")
    assert (connection.slurm.name, connection.why) == ("pyslurm", "pyslurm 25.11.2, as asked for")


BROKEN = {
    "missing library": (
        'raise ImportError("libslurm.so.45: cannot open shared object file")',
        "libslurm.so.45: cannot open shared object file",
    ),
    "no configuration": (
        (
            'import os, sys; sys.stderr.write("fatal: Unable to process configuration file\\n"); '
            "sys.stderr.flush(); os._exit(1)"
        ),
        "fatal: Unable to process configuration file",
    ),
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it died (exit -11)"),
    "controller away": (
        (
            "class slurmctld:\n class Config:\n"
            '  def load(): raise RuntimeError("Unable to contact controller")\n__version__ = "25.11.2"'
        ),
        "Unable to contact controller",
    ),
    "hang": ("import threading; threading.Event().wait()", "did not answer within 1 s"),
    "something else": (
        (
            '__version__ = "one"\nclass slurmctld:\n version = "2"\n class Config:\n'
            "  def load(): return slurmctld"
        ),
        "no Slurm version in 'one'",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_pyslurm_falls_back_with_one_line(pyslurm: Callable[[str], None], how: str) -> None:
    """Whatever it does to its process, ours goes on with the commands and says why."""
    text, words = BROKEN[how]
    pyslurm(text)
    connection = connect(timeout_s=1 if how == "hang" else 30)
    assert connection.slurm.name == "cli"
    assert connection.why.startswith("the commands: pyslurm does not work here (")
    assert words in connection.why
    assert "\n" not in connection.why


def test_a_broken_pyslurm_that_was_asked_for_is_an_error(pyslurm: Callable[[str], None]) -> None:
    """No silent replacement of an explicit choice."""
    pyslurm("raise ImportError('libslurm.so.45')")
    with pytest.raises(SlurmAnswerError, match=r"does not work here: ImportError: libslurm\.so\.45"):
        connect("pyslurm")


def test_a_missing_pyslurm_that_was_asked_for_is_an_error() -> None:
    """The remedy is in the message."""
    with pytest.raises(SlurmAnswerError, match=r"not installed .pip install"):
        connect("pyslurm")


def test_another_cluster_is_asked_with_the_commands(pyslurm: Callable[[str], None]) -> None:
    """Only they can reach it."""
    pyslurm(working("25.11", "25.11"))
    assert connect(cluster="beta").why == "the commands: only they can ask cluster beta"
    with pytest.raises(UsageError, match="cannot ask another cluster"):
        connect("pyslurm", cluster="beta")


def test_an_unknown_backend_is_refused() -> None:
    """The choices are named."""
    with pytest.raises(UsageError, match="auto, cli, pyslurm"):
        connect("rest")
