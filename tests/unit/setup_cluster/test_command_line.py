"""The `cluster` and `install-system` commands as a user runs them, without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[3] / "setup_cluster"
Run = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command with an empty home."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MLCOST_CLUSTER_HOME": f"/tmp/{tmp_path.name[:20]}"}
        return subprocess.run(
            [FOLDER / "cluster", *words], capture_output=True, text=True, env=environment, check=False
        )

    return run


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("exec", "nope", "--", "true"), 1, "no cluster 'nope'"),
        (("exec", "nope"), 2, "exec needs a command"),
        (("env", "nope"), 1, "no cluster 'nope'"),
        (("set", "nope"), 2, "set needs NAME=VALUE (known: grace,"),
        (("set", "nope", "grace=x"), 2, "grace is a number of seconds"),
        (("up", "Big"), 2, "'Big' is no name for a cluster"),
        (("up", "a", "--name", "b"), 2, "two names"),
        (("up", "a", "--preempt", "none"), 2, "preempt is one of partition, qos"),
        (("up", "a", "--slurm", "new"), 1, "no Slurm version in 'new'"),
        (("down", "a", "grace=0"), 2, "unexpected 'grace=0'"),
        (("down", "a", "--", "x"), 2, "unexpected 'x'"),
        (("roots", "remove", "../.."), 2, "there is no root folder '../..'"),
        ((), 2, "COMMAND"),
    ],
)
def test_errors_are_one_line(
    cluster: Callable[..., subprocess.CompletedProcess[str]], words: tuple[str, ...], code: int, says: str
) -> None:
    """A wrong word is answered by one clear line and an exit code, never by a traceback."""
    done = cluster(*words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_there_is_nothing_to_take_down(
    cluster: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """`down` and `list` without a cluster are no errors; `status` says that there is none."""
    if os.geteuid() == 0:
        assert cluster("down").returncode == 0
    assert cluster("list").stdout == ""
    assert cluster("status").returncode == 1


def test_a_damaged_record_is_told(
    cluster: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A record that cannot be read names its file and the way out."""
    home = Path(f"/tmp/{tmp_path.name[:20]}")
    (home / "one").mkdir(parents=True)
    try:
        (home / "one" / "cluster.json").write_text(json.dumps({"port": "x"}))
        done = cluster("status", "one")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "is damaged" in done.stderr
        assert "down --purge" in done.stderr
    finally:
        (home / "one" / "cluster.json").unlink()
        (home / "one").rmdir()
        home.rmdir()


def test_without_root_the_missing_packages_are_named(tmp_path: Path) -> None:
    """Who is not root reads in one message what to ask the administrator for, and the exit code is 2."""
    fake = tmp_path / "bin"
    fake.mkdir()
    for name, text in {
        "id": "echo 1000",
        "dpkg-query": 'case "$*" in *slurm-wlm*|*make*) exit 1;; *) printf "ii ";; esac',
    }.items():
        (fake / name).write_text(f"#!/bin/sh\n{text}\n")
        (fake / name).chmod(0o755)
    environment = {"PATH": f"{fake}:/usr/bin:/bin"}
    done = subprocess.run(
        [FOLDER / "install-system"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 2
    assert "apt-get install --no-install-recommends slurm-wlm make\n" in done.stderr
    assert done.stdout == ""


def test_with_everything_installed_nothing_is_said(tmp_path: Path) -> None:
    """When no package is missing it ends at once, for anybody."""
    fake = tmp_path / "dpkg-query"
    fake.write_text('#!/bin/sh\nprintf "ii "\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    for words in ([], ["roots"]):
        done = subprocess.run(
            [FOLDER / "install-system", *words], capture_output=True, text=True, env=environment, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
