"""Commands as a user types them, shown and checked; and the virtual cluster they run on."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_T = TypeVar("_T")


class DemoError(Exception):
    """Something the demonstration promises did not come true."""


class Shell:
    """Runs commands in one environment and shows each one.

    Args:
        root: the checkout; commands run there.
        environment: variables on top of the process's own.
    """

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        path = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            **os.environ,
            "COLUMNS": "100",
            "PYTHONUNBUFFERED": "1",
            "PATH": path,
            **environment,
        }

    def show(self, *words: str) -> None:
        """Run a command where its output is seen, as in a terminal.

        Raises:
            DemoError: when it fails.
        """
        print(f"\n$ {shlex.join(words)}", flush=True)
        done = subprocess.run(words, cwd=self.root, env=self.environment, check=False)
        if done.returncode != 0:
            raise DemoError(f"{shlex.join(words)}: exit {done.returncode}")

    def ask(self, *words: str) -> str:
        """Run a command quietly, return what it printed.

        Raises:
            DemoError: with everything it said, when it fails.
        """
        done = subprocess.run(
            words, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise DemoError(f"{shlex.join(words)}: exit {done.returncode}: {said}")
        return done.stdout


def wait_for(ask: Callable[[], _T | None], what: str, *, seconds: float) -> _T:
    """Ask twice a second until there is an answer.

    Raises:
        DemoError: when there is none within the time.
    """
    print(f"... waiting for {what}", end="", flush=True)
    began = time.monotonic()
    while (answer := ask()) is None:
        if time.monotonic() - began > seconds:
            raise DemoError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.5)
    print(f": {time.monotonic() - began:.0f} s", flush=True)
    return answer


@contextmanager
def virtual_cluster(root: Path, name: str) -> Iterator[dict[str, str]]:
    """Bring a virtual cluster up, give its environment, and take it down again whatever happens."""
    tool = str(root / "setup_cluster" / "cluster")
    subprocess.run([tool, "up", name], check=True)
    try:
        lines = subprocess.run([tool, "env", name], check=True, capture_output=True, text=True).stdout
        words = [word for word in shlex.split(lines) if "=" in word]
        yield dict(word.rstrip(";").split("=", 1) for word in words)
    finally:
        subprocess.run([tool, "down", name, "--purge"], check=True)
