"""A cluster of setup_cluster, as live tests use it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "setup_cluster" / "cluster"
DEFAULTS = (
    "grace=20",
    "user-signal=off",
    "kill-wait=10",
    "cred-expire=5",
    "preempt=partition",
    "preempt-mode=requeue",
)


@dataclass(frozen=True)
class LiveCluster:
    """A cluster that is up."""

    name: str

    def program(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """``setup_cluster/cluster COMMAND NAME WORDS...``; its failure fails the test with its words."""
        done = subprocess.run(
            [PROGRAM, command, self.name, *words], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def is_up(self) -> bool:
        """Whether all of it runs."""
        return (
            subprocess.run([PROGRAM, "status", self.name], capture_output=True, check=False).returncode == 0
        )

    def environment(self) -> dict[str, str]:
        """What `cluster env` exports."""
        lines = self.program("env").stdout.splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines)
        return {key: value.strip("'") for key, _, value in pairs}

    @contextmanager
    def settings(self, *assignments: str) -> Iterator[None]:
        """Other settings for a while: ``with cluster.settings("grace=0", "user-signal=on"): ...``."""
        self.program("set", *assignments)
        try:
            yield
        finally:
            self.program("set", *DEFAULTS)

    def run(self, *argv: str | Path, user: str | None = None, cwd: Path | None = None) -> str:
        """What a command prints; ``user``: as another user of the site, e.g. ``mlc-ana``.

        Jobs write their output where they are submitted: outside the checkout, where every user may.
        """
        words = [str(word) for word in argv]
        if user:
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *words]
        environment = {**os.environ, **self.environment()}
        done = subprocess.run(
            words,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=cwd or tempfile.gettempdir(),
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def state(self, job: str) -> str:
        """A job's state in squeue's words; empty when squeue has forgotten it."""
        return self.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()

    def wait_state(self, job: str, *states: str, seconds: float = 60) -> str:
        """Wait until the job is in one of these states; gives the state."""
        return wait_for(
            lambda: next((s for s in states if s == self.state(job)), ""), seconds, f"{job} {states}"
        )


def wait_for(ask: Callable[[], str], seconds: float, what: str) -> str:
    """Ask until the answer is not empty; fails the test when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within {seconds:.0f} s: {what}")
