"""Which processes are a cluster's, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from virtual_cluster import processes
from virtual_cluster.layout import Layout
from virtual_cluster.processes import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Start = "Callable[..., subprocess.Popen[bytes]]"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that waits; all are killed afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv or ["sleep", "60"],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "run").mkdir()
    (tmp_path / "log").mkdir()
    return Layout("trial", tmp_path)


def pids(identities: set[Identity]) -> set[int]:
    return {identity.pid for identity in identities}


def test_a_pid_file_of_a_reused_id_is_stale(
    start: Callable[..., subprocess.Popen[bytes]], layout: Layout
) -> None:
    """A pid file counts only while the very process it was written for lives."""
    process, file = start(), layout.run / "slurmctld.pid"
    processes.write_pid_file(file, process.pid)
    assert processes.read_pid_file(file) is not None
    file.write_text(f"{process.pid} 1\n")
    assert processes.read_pid_file(file) is None


@pytest.mark.parametrize("text", ["", "garbage", "12", "a b", "1 2 3"])
def test_a_damaged_pid_file_counts_as_none(layout: Layout, text: str) -> None:
    """What a crash left half written does not stop anything."""
    file = layout.run / "slurmctld.pid"
    file.write_text(text)
    assert processes.read_pid_file(file) is None


def test_a_zombie_is_not_alive(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A process that has ended and is not waited for has ended."""
    process = start()
    found = processes.read_process(process.pid)
    assert found is not None
    process.kill()
    assert processes.wait_gone({found.identity}, 5) == set()


def test_a_job_that_detached_itself_belongs_to_its_cluster(
    start: Callable[..., subprocess.Popen[bytes]], layout: Layout
) -> None:
    """What a job started is known by its environment, and everything below it by its parents."""
    conf = f"{layout.folder}/etc/slurm.conf"
    job = start("sh", "-c", "sleep 60 & echo $!; wait", SLURM_CONF=conf, SLURMD_NODENAME="a100-1")
    assert job.stdout is not None
    child = int(job.stdout.readline())
    shell = start(SLURM_CONF=conf)
    other = start(SLURM_CONF="/else/etc/slurm.conf", SLURMD_NODENAME="a100-1")
    found = pids(processes.of_cluster(layout))
    assert {job.pid, child} <= found
    assert not {shell.pid, other.pid, os.getpid()} & found


def test_a_daemon_is_found_by_the_file_it_writes(layout: Layout) -> None:
    """A daemon whose pid file is lost is found by its output; others that have it open are not it."""
    output = layout.log / "slurmctld.out"
    pid = processes.start_detached(["sleep", "60"], {"PATH": os.environ["PATH"]}, output)
    try:
        with output.open():
            wanted = processes.wait_until(lambda: processes.find_writer("sleep", (output,)) is not None, 5)
            assert wanted
            found = processes.find_writer("sleep", (output,))
            assert found is not None
            assert found.pid == pid
            assert processes.find_writer("slurmctld", (output,)) is None
    finally:
        processes.end({Identity(pid, found.start if found else 0)}, 5)
        os.waitpid(pid, 0)


def test_stubborn_processes_are_killed(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """What ignores SIGTERM gets SIGKILL after the time given."""
    process = start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    assert process.stdout is not None
    process.stdout.readline()
    found = processes.read_process(process.pid)
    assert found is not None
    processes.end({found.identity}, 0.3)
    assert process.wait(5) == -9


def test_names_with_brackets_and_spaces_are_read(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """The kernel puts a process's name in brackets, and the name may hold some."""
    program = tmp_path / "a) b (c"
    program.symlink_to("/usr/bin/sleep")
    process = start(str(program), "60")
    assert processes.wait_until(
        lambda: (p := processes.read_process(process.pid)) is not None and p.name == "a) b (c", 5
    )
