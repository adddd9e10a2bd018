"""Sites that lack something: accounting, GPUs, GPU tracking, openness; several clusters; dead daemons."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlcost_hpc.errors import SlurmCommandError, SlurmDownError, SlurmNoAccountingError
from mlcost_hpc.slurm.cli_backend import CliSlurm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlcost_hpc.slurm.api import Run

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(ROOT / "setup_cluster" / "cluster")
MLCOST = str(Path(sys.executable).parent / "mlcost")
SITE, OTHER = "mlcost-site", "mlcost-site-b"
PLAIN = ("accounting=on", "gpus=on", "gpu-tracking=typed", "private-data=off")


def program(*words: str) -> str:
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clusters() -> Iterator[None]:
    """Take the clusters of this module down, with their records, after its last test."""
    yield
    for name in (OTHER, SITE):
        subprocess.run([PROGRAM, "down", name, "--purge"], capture_output=True, check=False)


@pytest.fixture
def site(clusters: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CliSlurm]]:
    """Bring a site up, change it, and ask it from here on; jobs are cancelled afterwards."""
    environment = dict(os.environ)

    def up(*settings: str, name: str = SITE, join: str = "") -> CliSlurm:
        program("up", name, *(["--join", join] if join else []))
        program("set", name, *PLAIN, *settings)
        for line in program("env", name).splitlines():
            key, _, value = line.removeprefix("export ").partition("=")
            environment[key] = value.strip("'")
            monkeypatch.setenv(key, environment[key])
        return CliSlurm()

    yield up
    # The test may have broken the settings of its own commands.
    for state in ("PENDING", "RUNNING"):
        words = ["scancel", "--quiet", f"--state={state}"]
        subprocess.run(words, capture_output=True, check=False, env=environment)


def submit(*options: str) -> str:
    words = ["sbatch", "--parsable", "--output=/dev/null", "--time=5", *options, "--wrap=sleep 300"]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/tmp", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(done: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := done():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within a minute: {what}")


def running(slurm: CliSlurm, job_id: str) -> Any:
    return next((job for job in slurm.jobs([job_id]) if job.state == "RUNNING"), None)


def doctor() -> tuple[int, dict[str, list[str]]]:
    """Return exit code and check -> "status: finding" of ``mlcost doctor``."""
    words = [MLCOST, "doctor", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/tmp", check=False)
    found: dict[str, list[str]] = {}
    for row in json.loads(done.stdout):
        found.setdefault(row["check"], []).append(f"{row['status']}: {row['finding']}")
    return done.returncode, found


def ask_as(user: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Slurm's real commands be run by another user from here on."""
    for name in ("scontrol", "squeue", "sacct", "sinfo", "sacctmgr", "sbatch"):
        real = shutil.which(name)
        path = folder / name
        path.write_text(
            f'#!/bin/sh\nexec setpriv --reuid={user} --regid={user} --init-groups -- {real} "$@"\n'
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("LOGNAME", user)


def test_a_site_without_accounting(site: Callable[..., CliSlurm]) -> None:
    """The present can be asked about, the past is refused with its reason, and doctor says what works."""
    slurm = site("accounting=off")
    job = submit("--partition=spot", "--gres=gpu:a100:2")
    wait_for(lambda: running(slurm, job), "the job runs")
    assert sum(sum(node.gpus_allocated.values()) for node in slurm.nodes()) == 2
    with pytest.raises(SlurmNoAccountingError, match="keeps no accounting"):
        slurm.runs(int(time.time()) - 60, int(time.time()))
    code, found = doctor()
    assert code == 0
    assert found["accounting"] == ["warning: this cluster keeps no accounting (no slurmdbd)"]


def test_a_site_without_gpus(site: Callable[..., CliSlurm]) -> None:
    """Its nodes have none, which is a fact and no problem."""
    slurm = site("gpus=off")
    assert [dict(node.gpus) for node in slurm.nodes()] == [{} for _ in slurm.nodes()]
    code, found = doctor()
    assert code == 0
    assert found["gpus"] == ["info: no node has GPUs (no Gres=gpu)"]


@pytest.mark.parametrize(
    ("tracking", "gpus", "types", "words"),
    [
        ("none", 0, {}, "warning: accounting does not count GPUs (AccountingStorageTRES lacks gres/gpu)"),
        ("untyped", 2, {}, "warning: accounting counts GPUs, but not the types a100, h100, t4, v100"),
    ],
)
def test_a_site_that_counts_gpus_badly(
    site: Callable[..., CliSlurm], tracking: str, gpus: int, types: dict[str, int], words: str
) -> None:
    """Nodes still tell which GPUs are in use; job records do not, and doctor says so."""
    slurm = site(f"gpu-tracking={tracking}")
    job = submit("--partition=mixed", "--gres=gpu:v100:1,gpu:t4:1")
    held = wait_for(lambda: running(slurm, job), "the job runs")
    assert (held.tres.gpus, held.tres.gpu_types) == (gpus, types)
    mixed = next(node for node in slurm.nodes() if node.name == "mixed-1")
    assert mixed.gpus_allocated == {"v100": 1, "t4": 1}
    code, found = doctor()
    assert code == 0
    assert words in found["gpus"]


def only_of(user: str, runs: Sequence[Run]) -> Sequence[Run]:
    """The runs when all are of one user, else none."""
    return runs if all(run.user == user for run in runs) else ()


def test_a_site_with_private_data(
    site: Callable[..., CliSlurm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain user sees own jobs only and is told; an administrator sees all and is not bothered."""
    slurm = site("private-data=on")
    begin = int(time.time()) - 1
    hidden = submit("--partition=cpu", "--account=nlp")
    assert not any("own jobs only" in words for words in doctor()[1]["accounting"])
    ask_as("mlc-ben", tmp_path, monkeypatch)
    mine = submit("--partition=cpu")
    # slurmdbd hides nothing until it knows the user and has read its settings again.
    runs = wait_for(
        lambda: [run for run in only_of("mlc-ben", slurm.runs(begin, begin + 60).runs) if run.job_id == mine],
        "accounting shows the user's own job and no other",
    )
    assert [run.user for run in runs] == ["mlc-ben"]
    assert hidden not in {job.job_id for job in slurm.jobs()}
    code, found = doctor()
    assert code == 0
    assert any("mlc-ben sees own jobs only" in words for words in found["accounting"])


def test_a_site_with_two_clusters(site: Callable[..., CliSlurm]) -> None:
    """Each cluster is asked by its name from the other; a misspelt one is an error, not an empty site."""
    site()
    site(name=OTHER, join=SITE)
    job = submit("--partition=cpu", "--account=nlp", "--job-name=elsewhere")
    wait_for(lambda: running(CliSlurm(), job), "the job runs on the other cluster")
    here, there = site(), CliSlurm(cluster=OTHER)
    assert "elsewhere" not in {found.name for found in here.jobs()}
    assert [found.job_id for found in there.jobs()] == [job]
    assert (here.config()["ClusterName"], there.config()["ClusterName"]) == (SITE, OTHER)
    now = int(time.time())
    runs = wait_for(lambda: there.runs(now - 60, now + 60).runs, "accounting knows")
    assert [(run.cluster, run.job_id) for run in runs] == [(OTHER, job)]
    assert len(there.nodes()) == len(here.nodes()) == 8
    with pytest.raises(SlurmCommandError, match="nosuch"):
        CliSlurm(cluster="nosuch").runs(now - 60, now)


@pytest.mark.parametrize(
    ("setting", "daemon"),
    [
        (r"^SlurmctldPort=\d+", "slurmctld"),
        (r"^AccountingStoragePort=\d+", "slurmdbd"),
        (r"^AuthInfo=.*", "munge"),
    ],
)
def test_dead_daemons(
    site: Callable[..., CliSlurm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, daemon: str
) -> None:
    """Which daemon does not answer is told from the real commands' own words, by doctor too."""
    slurm = site()
    conf = Path(os.environ["SLURM_CONF"])
    dead = "AuthInfo=socket=/nonexistent" if daemon == "munge" else f"{setting[1:].partition('=')[0]}=1"
    text, count = re.subn(setting, dead, conf.read_text(), flags=re.MULTILINE)
    assert count == 1
    for neighbour in conf.parent.glob("*.conf"):
        (tmp_path / neighbour.name).write_text(neighbour.read_text())
    (tmp_path / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    question = (lambda: slurm.runs(0, 1)) if daemon == "slurmdbd" else slurm.nodes
    with pytest.raises(SlurmDownError) as caught:
        question()
    assert caught.value.daemon == daemon
    code, found = doctor()
    assert code == 1
    said = [words for check in found.values() for words in check]
    assert any(words.startswith(f"error: {daemon} does not answer") for words in said)
