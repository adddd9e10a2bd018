"""A running Slurm for the live tests.

``cluster`` is one cluster for the whole session: its environment is applied, so that Slurm's commands and the
product under test talk to it. Sessions side by side have one each: ``mlcost-test``, ``mlcost-test-2``
and so on. One that is up already is left up in the end; ``MLCOST_TEST_CLUSTER`` names another.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_cluster import DEFAULTS, LiveCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

_SESSIONS = 16


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded to be printed; what a worker prints itself is seen by nobody."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "printed":
                    terminalreporter.write_line(str(value))


def reserve(name: str, stack: ExitStack) -> str:
    """Reserve the first cluster of that name that no other session uses, until the stack unwinds."""
    for number in range(1, _SESSIONS + 1):
        candidate = name if number == 1 else f"{name}-{number}"
        file = Path(tempfile.gettempdir(), f".{candidate}.session").open("w")  # noqa: SIM115 the stack closes it
        stack.callback(file.close)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return candidate
    pytest.fail(f"{_SESSIONS} sessions use {name} already")


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[LiveCluster]:
    """The session's cluster with the default settings, without its environment applied."""
    with ExitStack() as stack:
        live = LiveCluster(reserve(os.environ.get("MLCOST_TEST_CLUSTER", "mlcost-test"), stack))
        was_up = live.is_up()
        if not was_up:
            live.program("down", "--purge")  # what an earlier session left in the accounting is not ours
        live.program("up", *(f"--{assignment}" for assignment in DEFAULTS))
        yield live
        if not was_up:
            live.program("down")


@pytest.fixture
def cluster(session_cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveCluster]:
    """The session's cluster, its environment applied, and no job left in its queue after the test."""
    for key, value in session_cluster.environment().items():
        monkeypatch.setenv(key, value)
    yield session_cluster
    session_cluster.run("scancel", "--quiet", "--state=PENDING")
    session_cluster.run("scancel", "--quiet", "--state=RUNNING")
