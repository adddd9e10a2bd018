"""The commands, word by word."""

from __future__ import annotations

from mlcost_hpc.slurm import commands


def test_separators_are_new_in_every_call_and_hold_no_comma() -> None:
    """Nobody can know the separator of a later call."""
    separators = {commands.new_separator() for _ in range(50)}
    assert len(separators) > 40
    assert all(text.startswith("\x1f") and "," not in text for text in separators)


def test_the_window_of_sacct() -> None:
    """All users, every run, whole texts, UTC seconds, machine text last."""
    argv = commands.sacct_window(100, 200, fields=("JobID", "Cluster"), separator="\x1f", cluster="alpha")
    assert argv == [
        "sacct", "--clusters=alpha", "--allusers", "--allocations", "--duplicates", "--parsable2",
        "--noheader", "--noconvert", "--delimiter=\x1f", "--format=JobID,Cluster", "--starttime=uts100",
        "--endtime=uts200",
    ]  # fmt: skip


def test_the_runs_of_some_jobs() -> None:
    """One call for all of them."""
    argv = commands.sacct_jobs(["1", "2_3"], 100, fields=("JobID",), separator="|")
    assert argv[-2:] == ["--jobs=1,2_3", "--starttime=uts100"]


def test_the_last_field_of_rows_is_one_that_slurm_writes() -> None:
    """Names and comments may hold anything, so they never come last."""
    assert commands.SACCT_FIELDS[-1] == "Cluster"
    assert commands.SQUEUE_FIELDS[-1] == "Cluster"


def test_fields_that_this_sacct_lacks_are_not_asked_for() -> None:
    """An unknown field would make sacct print nothing at all."""
    assert commands.sacct_fields({"jobid", "cluster", "alloctres", "submitline"}) == (
        "JobID",
        "AllocTRES",
        "Cluster",
    )


def test_squeue_asks_for_every_state_and_every_task() -> None:
    """The layout names each field with the separator behind it, the last one without."""
    argv = commands.squeue("|", ["7"])
    assert argv[:5] == ["squeue", "--jobs=7", "--array", "--noheader", "--states=all"]
    assert argv[5].startswith("--Format=JobArrayID:|,JobID:|,")
    assert argv[5].endswith(",Comment:|,Cluster:")
    assert "--all" in commands.squeue("|")


def test_orders_to_slurm() -> None:
    """Requeue and cancel name the jobs as separate words."""
    assert commands.requeue("7_1") == ["scontrol", "requeue", "7_1"]
    assert commands.cancel(["7", "8"], "alpha") == ["scancel", "--clusters=alpha", "7", "8"]
