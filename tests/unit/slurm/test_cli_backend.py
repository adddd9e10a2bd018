"""The command-line backend over fake commands on PATH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlcost_hpc.errors import SlurmAnswerError, SlurmCommandError, SlurmMissingError
from mlcost_hpc.slurm.api import Version
from mlcost_hpc.slurm.cli_backend import CliSlurm

Script = Callable[[str, str], Path]

# Stand for squeue and sacct: each prints rows with the separator it is given, and writes down its words.
SQUEUE = r"""
echo "$@" >> {log}
for word in "$@"; do case "$word" in --Format=*) first="${{word#*:}}"; s="${{first%%,*}}";; esac; done
tail="${{s}}n1${{s}}N/A${{s}}1${{s}}None${{s}}name${{s}}(null)${{s}}alpha"
for id in 7 7_1 9; do
head="$id${{s}}20${{s}}ann${{s}}ml${{s}}a${{s}}normal${{s}}RUNNING"
printf '%s\n' "$head${{s}}1${{s}}2${{s}}3${{s}}10:00${{s}}0${{s}}cpu=1$tail"
done
"""
SACCT = r"""
fields="JobIDRaw JobID State Submit Start End ElapsedRaw JobName Cluster"
case "$*" in *--helpformat*) echo "$fields"; exit;; esac
echo "$@" >> {log}
for word in "$@"; do case "$word" in --delimiter=*) s="${{word#*=}}";; esac; done
printf '%s\n' "1${{s}}1${{s}}COMPLETED${{s}}1${{s}}2${{s}}3${{s}}1${{s}}a|b${{s}}alpha"
"""

NO_ROWS = """
case "$*" in *--helpformat*) echo JobIDRaw JobID State Submit Start End ElapsedRaw Cluster;; esac
"""


def test_fields_are_those_this_sacct_knows(script: Script, tmp_path: Path) -> None:
    """Only known fields are asked for, each call with a separator of its own; help is asked for once."""
    log = tmp_path / "log"
    script("sacct", SACCT.format(log=log))
    slurm = CliSlurm()
    assert slurm.runs(10, 20).runs[0].name == "a|b"
    assert slurm.runs(20, 30).runs[0].state == "COMPLETED"
    first, second = log.read_text().splitlines()
    assert "--format=JobIDRaw,JobID,State,Submit,Start,End,ElapsedRaw,JobName,Cluster " in first
    assert "--starttime=uts10 --endtime=uts20" in first
    assert first.split("--delimiter=")[1].split(" ")[0] != second.split("--delimiter=")[1].split(" ")[0]


def test_many_ids_need_few_calls(script: Script, tmp_path: Path) -> None:
    """Accounting is asked for hundreds of jobs at a time, the controller once for all."""
    log = tmp_path / "log"
    script("sacct", SACCT.format(log=log))
    script("squeue", SQUEUE.format(log=log))
    ids = [str(number) for number in range(8, 1208)]
    assert len(CliSlurm().runs_of(ids, 0).runs) == 3
    assert log.read_text().count("--jobs=") == 3
    log.unlink()
    assert [job.job_id for job in CliSlurm().jobs(ids)] == ["7", "7_1", "9"]  # their raw id, 20, is wanted
    assert log.read_text().count("--jobs=") == 0
    assert log.read_text().count("\n") == 1


def test_jobs_by_id_are_asked_for_by_id(script: Script, tmp_path: Path) -> None:
    """A few ids are passed on to squeue."""
    log = tmp_path / "log"
    script("squeue", SQUEUE.format(log=log))
    CliSlurm(cluster="alpha").jobs(["7", "8"])
    assert log.read_text().startswith("--clusters=alpha --jobs=7,8 --array")


def test_a_job_the_controller_has_forgotten_is_missing(script: Script) -> None:
    """Slurm's complaint about an old id is an empty answer."""
    script("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert CliSlurm().jobs(["999"]) == ()
    with pytest.raises(SlurmCommandError):
        CliSlurm().jobs()


def test_a_misspelt_cluster_is_not_one_without_jobs(script: Script) -> None:
    """An unknown cluster is an empty answer of sacct; what scontrol says of it is ours."""
    script("sacct", NO_ROWS)
    assert CliSlurm().runs(0, 1).runs == ()
    script("scontrol", "echo \"scontrol: error: No cluster 'beta' known by database.\" >&2; exit 1")
    for ask in (lambda slurm: slurm.runs(0, 1), lambda slurm: slurm.runs_of(["7"], 0)):
        with pytest.raises(SlurmCommandError, match="No cluster 'beta' known"):
            ask(CliSlurm(cluster="beta"))


def test_versions_of_commands_and_controller(script: Script) -> None:
    """They can differ: the one answers without a daemon."""
    script("sinfo", "echo slurm-wlm 24.11.5")
    script("scontrol", "echo 'SLURM_VERSION = 22.05.8'")
    slurm = CliSlurm()
    assert (slurm.client_version(), slurm.version()) == (Version(24, 11, 5), Version(22, 5, 8))


def test_half_an_answer_of_any_command_is_an_error(script: Script) -> None:
    """An answer that stops in the middle is never taken for the whole."""
    for name in ("scontrol", "squeue"):
        script(name, "printf 'NodeName=a1 PartitionName=p SLURM_VERSION = 2'")
    slurm = CliSlurm()
    for question in (slurm.nodes, slurm.partitions, slurm.jobs, slurm.config):
        with pytest.raises(SlurmAnswerError):
            question()


def test_without_slurm_every_question_says_so(bin_folder: Path) -> None:
    """The first missing command is named."""
    slurm = CliSlurm()
    for question in (slurm.nodes, slurm.partitions, slurm.jobs, slurm.config, slurm.version):
        with pytest.raises(SlurmMissingError):
            question()
    with pytest.raises(SlurmMissingError, match="sacct is not on PATH"):
        slurm.runs(0, 1)
