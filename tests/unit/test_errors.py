"""The error tree and its exit codes."""

import inspect

import pytest

from mlcost_hpc import errors

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)]


def test_every_error_has_the_common_base() -> None:
    """Whoever catches MlcostError catches every error this package raises on purpose."""
    assert len(CLASSES) > 10
    assert all(issubclass(item, errors.MlcostError) for item in CLASSES)


def test_the_tree_in_the_docstring_is_complete() -> None:
    """Each error class is drawn in the module's tree."""
    names = [
        name for name, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)
    ]
    assert [name for name in names if name not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MlcostError("x"), 1),
        (errors.ConfigError("x"), 2),
        (errors.UnitError("x"), 2),
        (errors.NoOfferError("x"), 3),
        (errors.BudgetError("x"), 4),
        (errors.SlurmMissingError("sbatch"), 1),
    ],
)
def test_exit_codes_are_the_documented_ones(error: errors.MlcostError, code: int) -> None:
    """Exit codes follow the public contract."""
    assert error.exit_code == code


def test_a_command_error_says_the_commands_own_words_in_one_line() -> None:
    """Slurm's complaint is shown as it is, joined to one line, with the exit code."""
    error = errors.SlurmCommandError(
        ["sbatch", "job.sh"],
        1,
        "",
        "sbatch: error: Invalid account\nsbatch: error: Submission failed\n",
    )
    assert str(error) == (
        "sbatch failed (exit 1): sbatch: error: Invalid account; sbatch: error: Submission failed"
    )


def test_a_command_errors_details_hold_command_and_both_outputs() -> None:
    """With -v a person sees everything needed to try the command by hand."""
    details = errors.SlurmCommandError(["sacct", "-o", "a b"], 3, "out\n", "err\n").details()
    assert details == "command: sacct -o 'a b'\nexit code: 3\nstdout: out\nstderr: err"


def test_a_down_daemon_is_named() -> None:
    """The daemon that does not answer is named first, the command's words follow."""
    error = errors.SlurmDownError(
        ["squeue"], 1, "", "slurm_load_jobs error: Unable to contact slurm controller\n", daemon="slurmctld"
    )
    assert str(error).startswith("slurmctld does not answer (squeue said: slurm_load_jobs error")
