"""The submitit-like interface, with an sbatch that only writes down what it gets."""

import pickle
from pathlib import Path

import pytest

from mlcost_hpc.errors import SlurmCommandError, UsageError
from mlcost_hpc.launch.api import Executor
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.record import find_run_dir, read_submission
from mlcost_hpc.launch.replan import read_plan
from mlcost_hpc.slurm.fake import FakeSlurm

GIB = 1024**3


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


def test_array_above_the_sites_limit_is_several(
    sbatch: Path, launcher: Launcher, slurm: FakeSlurm, tmp_path: Path
) -> None:
    """2,500 tasks where an array may have 1,001 are three calls; jobs and pickles are in order."""
    executor = Executor(tmp_path / "runs", launcher)
    jobs = executor.map_array(add, range(2500), range(2500))
    found = [line for text in scripts(sbatch) for line in text.splitlines() if "--array" in line]
    assert found == ["#SBATCH --array=0-1000", "#SBATCH --array=0-1000", "#SBATCH --array=0-497"]
    assert len({job.job_id for job in jobs}) == 2500
    assert [jobs[number].submission().args for number in (0, 1001, 2499)] == [
        (0, 0),
        (1001, 1001),
        (2499, 2499),
    ]
    assert [path for path in (tmp_path / "runs").glob("*.pkl") if "submitted" not in path.name] == []


def test_throttled_parts_run_one_after_the_other(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """slurm_array_parallelism holds for the whole: a part waits for the one before it."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(slurm_array_parallelism=50)
    jobs = executor.map_array(add, range(1500), range(1500))
    first, second = scripts(sbatch)
    assert "--dependency" not in first
    assert f"#SBATCH --dependency=afterany:{jobs[0].job_id.partition('_')[0]}\n" in second
    assert "#SBATCH --array=0-498%50" in second


def test_array_of_which_a_part_is_refused_leaves_nothing(
    sbatch: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """When the site takes no more jobs in the middle of it, what was sent is cancelled."""
    body = (sbatch / "sbatch").read_text()
    refusal = "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1"
    (sbatch / "sbatch").write_text(body.replace("\n", f"\n[ -e {sbatch}/script-2 ] && {{ {refusal}; }}\n", 1))
    (sbatch / "scancel").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/cancelled\n')
    (sbatch / "scancel").chmod(0o755)
    executor = Executor(tmp_path / "runs", launcher)
    with pytest.raises(SlurmCommandError, match="AssocMaxSubmitJobLimit"):
        executor.map_array(add, range(1500), range(1500))
    assert (tmp_path / "cancelled").read_text().strip().isdecimal()
    assert list((tmp_path / "runs").glob("*.pkl")) == []


def test_submission_is_recorded(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """`mlcost why` and `mlcost status` find a job of the executor, and what it runs."""
    executor = Executor(tmp_path / "runs", launcher)
    job = executor.submit(add, 1, 2)
    record = read_submission(find_run_dir(job.job_id, launcher.market.settings.cluster))
    assert record.command == (f"{__name__}:add",)
    assert record.log == str(job.paths.stdout)
    assert record.choice == executor.last


def test_folder_may_have_the_jobs_id_in_its_name(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """folder="logs/%j", which submitit's users write, has each job's files in a folder of its own."""
    job = Executor(tmp_path / "logs" / "%j", launcher).submit(add, 1, 2)
    [text] = scripts(sbatch)
    assert f"#SBATCH --output={tmp_path}/logs/%j_0_log.out\n" in text
    (tmp_path / "logs" / f"{job.job_id}_0_log.out").write_text("said")
    assert job.paths.folder == tmp_path / "logs" / job.job_id
    assert (job.submission().result(), job.stdout()) == (3, "said")


def test_tasks_of_a_node_are_srun_tasks(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """tasks_per_node starts as many, cpus_per_task is each one's, and each has a result of its own."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(nodes=1, gpus_per_node=2, tasks_per_node=2, cpus_per_task=6)
    job = executor.submit(add, 1, 2)
    [text] = scripts(sbatch)
    for line in ("--ntasks-per-node=2", "--cpus-per-task=6"):
        assert f"#SBATCH {line}\n" in text
    assert "export MASTER_ADDR" in text
    assert job.num_tasks == 2


def test_other_options_of_sbatch_are_handed_on(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """What chooses no hardware goes into the script, quoted."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(
        slurm_comment="it's mine", slurm_exclude="n[1-2]", slurm_dependency="afterok:5"
    )
    executor.submit(add, 1, 2)
    [text] = scripts(sbatch)
    for line in ("--comment='it\\'s mine'", "--exclude='n[1-2]'", "--dependency=afterok:5"):
        assert f"#SBATCH {line}\n" in text


def test_deadline_of_a_function_has_its_plan(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """A function and an array with a deadline on preemptible nodes can be moved as a command line can."""
    executor = Executor(tmp_path / "runs", launcher)
    executor.update_parameters(gpus_per_node=1, gpu_types=["h100"], work="1h@h100", deadline_min=600)
    executor.map_array(add, range(3), range(3))
    executor.submit(add, 1, 2)
    assert all("mlcost_hpc.launch.replan" in text for text in scripts(sbatch))
    plans = [read_plan(path) for path in (tmp_path / "runs" / "runs").iterdir()]
    assert [plan.sure_partition for plan in plans if plan] == ["h100", "h100"]
    assert [plan.work_s for plan in plans if plan] == [pytest.approx(3600, rel=0.05)] * 2


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
        ({"deadline_min": -5}, "above 0"),
        ({"work": "much"}, "work much"),
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
