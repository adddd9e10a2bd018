"""The environment of sbatch."""

from mlcost_hpc.launch.environment import submission_environment


def test_other_jobs_settings_are_not_inherited() -> None:
    """Submitting from inside a job takes over neither its CPU binding nor its array number nor its GPUs."""
    inside = {
        "SLURM_JOB_ID": "1", "SLURM_CPU_BIND": "0x1", "SLURM_ARRAY_JOB_ID": "7", "SBATCH_MEM": "1G",
        "PMIX_RANK": "3", "PMI_SIZE": "2", "SRUN_CPUS_PER_TASK": "1", "CUDA_VISIBLE_DEVICES": "0",
    }  # fmt: skip
    assert submission_environment({**inside, "HOME": "/h"}) == {"HOME": "/h"}


def test_the_way_to_the_controller_stays() -> None:
    """SLURM_CONF is kept: without it sbatch may not find the controller."""
    assert submission_environment({"SLURM_CONF": "/etc/slurm.conf"}) == {"SLURM_CONF": "/etc/slurm.conf"}


def test_what_our_script_told_its_job_is_not_told_to_the_next() -> None:
    """A job that submits another hands on neither its folder nor its price; settings go along."""
    inside = {
        "SLURM_JOB_ID": "1",
        "MLCOST_RUN_DIR": "/r",
        "MLCOST_PRICE_PER_HOUR": "3",
        "MLCOST_TASK_ID": "4",
    }
    assert submission_environment({**inside, "MLCOST_CONFIG": "/c"}) == {"MLCOST_CONFIG": "/c"}


def test_devices_chosen_by_a_person_stay() -> None:
    """Outside of jobs CUDA_VISIBLE_DEVICES is the user's own word."""
    assert submission_environment({"CUDA_VISIBLE_DEVICES": "1"}) == {"CUDA_VISIBLE_DEVICES": "1"}
