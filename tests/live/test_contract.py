"""The contract: every backend answers every question with equal records, on every real Slurm release.

A busy cluster of each release (one job of every kind) is asked the same questions at the same moment through
its commands, through pyslurm where that exists, through its own recorded answers, and through the in-memory
fake that is given its records. ``make live`` prints the table of what was compared.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from mlcost_hpc.slurm.cli_backend import CliSlurm
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
from mlcost_hpc.slurm.fake import FakeSlurm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlcost_hpc.slurm.api import Job, Node, Partition, Run, RunAnswer

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "setup_cluster"
REPLAY = ROOT / "tests" / "fakebin" / "replay.py"
RELEASES = ("22.05", "24.11", "26.05")

PYSLURM_RELEASES = ("26.05",)
"""Where pyslurm can be had: its newest release builds against this Slurm and against no older one here."""

GAPS = {
    ("pyslurm", "partitions"): "has no billing weights; they are empty",
    ("pyslurm", "runs"): "keeps one run of a requeued job; asked with sacct instead",
    ("pyslurm", "runs by id"): "keeps one run of a requeued job; asked with sacct instead",
}
"""What a backend cannot answer itself, in words; everything else must be equal."""

QUESTIONS = ("version", "settings", "partitions", "nodes", "jobs", "jobs by id", "runs", "runs by id")

_table: dict[tuple[str, str, str], str] = {}


def load(path: Path) -> ModuleType:
    """Import a script by its path, together with its neighbours."""
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


answers = load(ROOT / "tests" / "live" / "answers.py")
record = load(SETUP / "record.py")
busy = sys.modules["busy"]


@pytest.fixture(scope="module", params=RELEASES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A busy cluster of one release, all its live answers, and its recorded ones."""
    release: str = request.param
    name = f"contract-{release.replace('.', '')}"
    program = str(SETUP / "cluster")
    # A fresh cluster: jobs of an earlier test would be forgotten (MinJobAge) between two questions.
    subprocess.run([program, "down", name, "--purge"], check=False, timeout=120)
    subprocess.run([program, "up", name, "--slurm", release, "--grace", "2"], check=True, timeout=900)
    cluster = busy.Cluster(name)
    start = int(time.time()) - 1
    try:
        ids = busy.make_busy(cluster)
        end = int(time.time()) + 1
        python = product_python(program, name, release)
        array = ids["array"]
        some = (*ids.values(), f"{array}_0", f"{array}_4", "4000000")
        live = {
            backend: ask(program, name, python, backend, start, end, some)
            for backend in ("cli", *(("pyslurm",) if release in PYSLURM_RELEASES else ()))
        }
        doctor = subprocess.run(
            [program, "exec", name, "--", python, "-m", "mlcost_hpc.cli.main", "doctor", "--format", "json"],
            capture_output=True,
            check=False,
        )
        folder = record.save(cluster, start, ids, tmp_path_factory.mktemp("records"))
        yield SimpleNamespace(
            release=release, ids=ids, start=start, end=end, live=live, folder=folder, some=some, doctor=doctor
        )
        busy.make_quiet(cluster)
    finally:
        subprocess.run([program, "down", name, "--purge"], check=True, timeout=120)


def product_python(program: str, name: str, release: str) -> str:
    """Return the Python that has the product inside a cluster: ours, unless it has a root of its own."""
    words = [program, "exec", name, "--", sys.executable, "-c", ""]
    if subprocess.run(words, capture_output=True, check=False).returncode == 0:
        return sys.executable
    subprocess.run([program, "install", name], check=True, timeout=600)
    if release in PYSLURM_RELEASES:
        subprocess.run([str(SETUP / "install-pyslurm"), name], check=True, timeout=900)
    return "python"


def ask(
    program: str, name: str, python: str, backend: str, start: int, end: int, ids: tuple[str, ...]
) -> Any:
    """Return everything that a backend says inside the cluster."""
    script = str(ROOT / "tests" / "live" / "answers.py")
    words = [program, "exec", name, "--", python, script, backend, str(start), str(end), *ids]
    done = subprocess.run(words, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=answers.Answers)


def steady_jobs(jobs: tuple[Job, ...]) -> dict[str, Job]:
    """Return jobs by id without what changes by itself: the scheduler's guesses about waiting jobs."""
    return {
        job.job_id: replace(job, started=None, ended=None, reason="") if job.state == "PENDING" else job
        for job in jobs
    }


def steady_runs(answer: RunAnswer) -> list[Run]:
    """Return runs in an order of our own, without the clock of those that still run."""
    runs = [run if run.ended else replace(run, elapsed_s=0) for run in answer.runs]
    return sorted(runs, key=lambda run: (run.job_id, run.submitted or 0))


def steady_nodes(nodes: tuple[Node, ...]) -> list[Node]:
    """Return nodes without the backfill scheduler's plans."""
    return [replace(node, states=node.states - {"PLANNED"}) for node in nodes]


def without_weights(partitions: tuple[Partition, ...]) -> list[Partition]:
    return [replace(partition, billing_weights={}) for partition in partitions]


def compared(site: Any, backend: str, question: str) -> None:
    """Write down that a question was compared; the gap is part of it."""
    gap = GAPS.get((backend, question))
    _table[site.release, backend, question] = f"equal, but {gap}" if gap else "equal"


def test_the_commands_tell_what_is_known_of_the_jobs(site: Any) -> None:
    """Two runs of each requeued job, GPUs by type, whole names: on every release."""
    cli = site.live["cli"]
    runs = {label: steady_runs(cli.runs_by_id[job_id]) for label, job_id in site.ids.items()}
    assert [run.state for run in runs["preempted"]] == ["PREEMPTED", "RUNNING"]
    assert [run.state for run in runs["requeued"]] == ["REQUEUED", "RUNNING"]
    assert [run.state for run in runs["node-failed"]] == ["NODE_FAIL", "RUNNING"]
    assert runs["two-types"][0].allocated.gpu_types == {"v100": 1, "t4": 2}
    assert [run.allocated.gpus for run in runs["het"]] == [0, 1]
    assert cli.jobs_by_id[site.ids["hostile"]][0].name == busy.HOSTILE_NAME
    assert cli.version.release == site.release
    assert cli.jobs_by_id["4000000"] == ()
    assert cli.runs.rejects == ()
    for question in QUESTIONS:
        compared(site, "cli", question)


def test_pyslurm_and_the_commands_agree(site: Any) -> None:
    """The same moment through Slurm's library: equal records but for the named gaps."""
    if site.release not in PYSLURM_RELEASES:
        for question in QUESTIONS:
            _table[site.release, "pyslurm", question] = "no pyslurm of this release builds here"
        return
    cli, library = site.live["cli"], site.live["pyslurm"]
    assert library.why.startswith("pyslurm")
    assert library.version == cli.version
    assert library.settings == replace(cli.settings, accounting_tres=library.settings.accounting_tres)
    assert set(library.settings.accounting_tres) == set(cli.settings.accounting_tres)
    assert list(library.partitions) == without_weights(cli.partitions)
    assert steady_nodes(library.nodes) == steady_nodes(cli.nodes)
    assert steady_jobs(library.jobs) == steady_jobs(cli.jobs)
    for job_id in site.some:
        assert steady_jobs(library.jobs_by_id[job_id]) == steady_jobs(cli.jobs_by_id[job_id]), job_id
        assert steady_runs(library.runs_by_id[job_id]) == steady_runs(cli.runs_by_id[job_id]), job_id
    assert steady_runs(library.runs) == steady_runs(cli.runs)
    for question in QUESTIONS:
        compared(site, "pyslurm", question)


def test_recorded_answers_are_the_live_ones(site: Any, player: Callable[[Path], Path]) -> None:
    """What the recorder saves reads like the cluster itself."""
    cli = site.live["cli"]
    slurm = CliSlurm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(player(site.folder)))
        assert slurm.version() == cli.version
        assert read_cluster_settings(slurm.config()) == cli.settings
        assert slurm.partitions() == cli.partitions
        assert steady_nodes(slurm.nodes()) == steady_nodes(cli.nodes)
        assert steady_jobs(slurm.jobs()) == steady_jobs(cli.jobs)
        assert steady_runs(slurm.runs(site.start, site.end)) == steady_runs(cli.runs)
    for question in QUESTIONS:
        compared(site, "recorded", question)
        if question.endswith("by id"):
            _table[site.release, "recorded", question] = "a record is the answer to one question"


def test_the_fake_selects_as_slurm_does(site: Any) -> None:
    """Given the cluster's records, the Slurm in memory gives the same answers to the same questions."""
    cli = site.live["cli"]
    fake = FakeSlurm(
        partitions=cli.partitions, nodes=cli.nodes, jobs=cli.jobs, runs=cli.runs.runs, version=cli.version
    )
    assert (fake.version(), fake.partitions(), fake.nodes()) == (cli.version, cli.partitions, cli.nodes)
    assert steady_runs(fake.runs(site.start, site.end)) == steady_runs(cli.runs)
    for job_id in site.some:
        assert steady_jobs(fake.jobs([job_id])) == steady_jobs(cli.jobs_by_id[job_id]), job_id
        in_window = [run for run in steady_runs(cli.runs_by_id[job_id]) if is_in_window(run, site.end)]
        assert steady_runs(fake.runs_of([job_id], site.start)) == in_window, job_id
    for question in QUESTIONS:
        compared(site, "fake", question)
    _table[site.release, "fake", "settings"] = "given by the test that uses it"


def test_doctor_knows_each_release(site: Any) -> None:
    """It names the release and the backend, and spells the remedy for lost signals as this release does."""
    assert site.doctor.returncode == 0, site.doctor.stderr
    rows = json.loads(site.doctor.stdout)
    said = "\n".join(f"{row['status']}: {row['finding']} -> {row['advice']}" for row in rows)
    assert f"runs Slurm {site.release}" in said
    assert "Slurm is asked through the commands: " in said
    assert "ok: GPUs: 16 a100, 8 h100, 12 t4, 2 v100" in said
    assert "warning: partition spot: preempted jobs are requeued after 2 s, but their --signal" in said
    spelling = (
        "SlurmctldParameters=preempt_send_user_signal" if site.release == "22.05" else "PreemptParameters="
    )
    assert spelling in said
    assert "info: partition spot: mlcost submit has row C: TERM at once, killed" in said
    assert "without srun: row F, TERM after 2 s" in said
    assert ("counts as completed" in said) == (site.release == "22.05")
    if site.release in PYSLURM_RELEASES:
        assert "pyslurm 25.11 is not for Slurm 26.05" in said


def is_in_window(run: Run, end: int) -> bool:
    """Tell whether the window's answer has a run: one that was never eligible is in none."""
    return run.eligible is not None and run.eligible < end


def test_the_table_is_complete(record_property: Callable[[str, object], None]) -> None:
    """Every release, backend and question is either compared or named with its reason."""
    backends = ("cli", "pyslurm", "recorded", "fake")
    lines = [f"{'release':8} {'backend':9} {'question':11} answer"]
    for (release, backend, question), answer in sorted(_table.items()):
        lines.append(f"{release:8} {backend:9} {question:11} {answer}")
    record_property("printed", "\n".join(lines))
    missing = [
        (release, backend, question)
        for release in RELEASES
        for backend in backends
        for question in QUESTIONS
        if (release, backend, question) not in _table
    ]
    assert missing == []


@pytest.fixture
def player(tmp_path: Path) -> Callable[[Path], Path]:
    """Make a folder of Slurm commands that answer from a folder of recorded answers; return it."""

    def make(folder: Path) -> Path:
        (tmp_path / "answers-from").write_text(str(folder))
        for name in ("scontrol", "squeue", "sacct", "sinfo"):
            path = tmp_path / name
            path.write_text(f"#!{sys.executable} -SE\n{REPLAY.read_text()}")
            path.chmod(0o755)
        return tmp_path

    return make
