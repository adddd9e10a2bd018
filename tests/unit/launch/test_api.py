"""The submitit-like interface, with an sbatch that only writes down what it gets."""

import os
import pickle
from pathlib import Path

import pytest

from mlcost_hpc.errors import SlurmCommandError, UsageError
from mlcost_hpc.launch.api import Executor
from mlcost_hpc.launch.launcher import Launcher

GIB = 1024**3


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake sbatch on PATH: keeps each script, gives ids from 100 on; its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "sbatch"
    path.write_text(
        f"#!/bin/bash\ncd {folder}; n=$(ls | wc -l)\n"
        'cp "${@: -1}" script-$n; env > env-$n; echo $((100 + n / 2))\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_CPU_BIND", "0x1")
    return folder


def scripts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("script-*"))]


def add(a: int, b: int) -> int:
    return a + b


def test_one_job_is_one_script_from_our_template(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """submit() renders our template, starts our worker and leaves the pickle where submitit looks."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(timeout_min=30, gpus_per_node=2, gpu_memory_gb=60, name="mine")
    job = executor.submit(add, 1, 2)
    [text] = scripts(sbatch)
    assert "#SBATCH --gpus-per-node=h100:2" in text
    assert "mlcost_hpc.launch.worker" in text
    assert job.paths.submitted_pickle.exists()
    assert job.submission().result() == 3
    assert pickle.loads(pickle.dumps(job)).job_id == job.job_id
    assert executor.last is not None
    assert executor.last.best.offer.partition == "spot"


def test_array_is_one_sbatch_call_from_our_template(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """map_array() of a thousand tasks calls sbatch once, with our template, and every task has its pickle."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(slurm_array_parallelism=7)
    jobs = executor.map_array(add, range(1000), range(1000))
    [text] = scripts(sbatch)
    assert "#SBATCH --array=0-999%7" in text
    assert "mlcost_run srun" in text
    assert [job.job_id for job in jobs[:2]] == [f"{jobs[0].job_id.partition('_')[0]}_{n}" for n in (0, 1)]
    assert all(job.paths.submitted_pickle.exists() for job in jobs)


def test_batch_context_makes_an_array(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """Jobs submitted in executor.batch() are one array."""
    executor = Executor(tmp_path / "runs", launcher)
    with executor.batch():
        jobs = [executor.submit(add, n, n) for n in range(3)]
    assert len(scripts(sbatch)) == 1
    assert jobs[2].job_id.endswith("_2")


def test_environment_of_other_jobs_stays_behind(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """What another job left in the environment is not handed on."""
    Executor(tmp_path / "runs", launcher).submit(add, 1, 1)
    [environment] = [path.read_text() for path in sbatch.glob("env-*")]
    assert "SLURM_CPU_BIND" not in environment


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"timeout_min": "0:40:00"}, "number of minutes"),
        ({"timeout_min": 0}, "above 0"),
        ({"gpu": 1}, "unknown"),
    ],
)
def test_wrong_parameters_are_refused_at_once(
    launcher: Launcher, tmp_path: Path, wish: dict[str, object], words: str
) -> None:
    """A time limit as text, none at all, or an unknown name never reaches a job."""
    executor = Executor(tmp_path / "runs", launcher)
    with pytest.raises(UsageError, match=words):
        executor.update_parameters(**wish)


def test_sbatchs_refusal_is_its_own_words_and_leaves_nothing(
    sbatch: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """When sbatch refuses, its words are the error and no pickle or script stays behind."""
    (sbatch / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: Invalid account' >&2; exit 1\n")
    executor = Executor(tmp_path / "runs", launcher)
    with pytest.raises(SlurmCommandError, match="Invalid account"):
        executor.submit(add, 1, 1)
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_file()] == []
