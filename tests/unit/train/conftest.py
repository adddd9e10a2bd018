"""What the tests of the training side share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """A training process, started; its stdout is read line by line."""

    def __init__(
        self, *arguments: object, environment: dict[str, str] | None = None, script: Path = WORKER
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "MLCOST"))}
        self.process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "OMP_NUM_THREADS": "1", **(environment or {})},
        )

    def wait_for(self, line: str) -> None:
        """Read stdout until ``line``."""
        assert self.process.stdout is not None
        for found in self.process.stdout:
            if found.rstrip("\n") == line:
                return
        assert self.process.stderr is not None
        pytest.fail(f"the worker ended before it said {line!r}: {self.process.stderr.read()}")

    def go_on(self) -> None:
        """Send the line on stdin that a held worker waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()

    def end(self, send: str = "") -> tuple[int, str, str]:
        """Wait for the end; return exit code, the rest of stdout, stderr."""
        out, err = self.process.communicate(send, timeout=240)
        return self.process.returncode, out, err


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Start training processes that do not outlive the test."""
    started: list[Worker] = []

    def start(*arguments: object, **options: Any) -> Worker:
        started.append(Worker(*arguments, **options))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.communicate()


def result(out: str) -> str:
    """Return the line a worker ends with."""
    return next(line for line in out.splitlines() if line.startswith("result "))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the result of 30 steps that nothing interrupted."""
    code, out, err = Worker(tmp_path_factory.mktemp("undisturbed"), 30).end()
    assert code == 0, err
    return result(out)


@pytest.fixture
def read_result() -> Callable[[str], str]:
    """Return the function that finds a worker's result line."""
    return result
