"""Hand-written batch scripts."""

import pytest

from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.passthrough import filled_in, need_of, read_directives

SCRIPT = """#!/bin/bash
#SBATCH --gres=gpu:h100:2   # two of them
#SBATCH -t 2:00:00 -A nlp
#SBATCH --job-name="my job" --requeue
##SBATCH --partition=not-this-one

srun python train.py
#SBATCH --time=9-00
"""


def test_directives_are_read_as_sbatch_reads_them() -> None:
    """Long and short names, quotes and comments; nothing after the first command counts."""
    assert read_directives(SCRIPT) == {
        "gres": "gpu:h100:2", "time": "2:00:00", "account": "nlp", "job-name": "my job", "requeue": "",
    }  # fmt: skip


def test_only_what_is_open_is_filled_in(launcher: Launcher) -> None:
    """A script that says GPUs, time and account gets a partition, memory and CPUs, and nothing else."""
    directives = read_directives(SCRIPT)
    need = need_of(directives, Need())
    assert (need.gpus, need.gpu_types, need.time_s, need.account) == (2, ("h100",), 7200, "nlp")
    options = filled_in(directives, launcher.choose(need), "mine")
    assert options == ["--partition=spot", "--mem=32768M", "--cpus-per-task=8"]


def test_script_without_wishes_gets_all(launcher: Launcher) -> None:
    """An open script takes GPUs and time from the command line."""
    options = filled_in({}, launcher.choose(Need(gpus=1, time_s=600)), "mine")
    assert "--gpus-per-node=a100:1" in options
    assert "--time=00:10:00" in options
    assert "--job-name=mine" in options


def test_gpus_without_a_type_get_the_chosen_one(launcher: Launcher) -> None:
    """A script that asks for any GPU gets the chosen type, in its own option: any GPU has any price."""
    directives = {"gres": "gpu:1"}
    options = filled_in(directives, launcher.choose(need_of(directives, Need())), "mine")
    assert "--gres=gpu:a100:1" in options


@pytest.mark.parametrize(
    ("lines", "gpus", "types", "added"),
    [
        ({"gres": "gpu:a100:2,lscratch:100"}, 2, ("a100",), []),
        ({"gres": "lscratch:100,gpu:2"}, 2, (), ["--gres=gpu:a100:2,lscratch:100"]),
        ({"gres": "gpu"}, 1, (), ["--gres=gpu:a100:1"]),
        ({"gres": "gpu:h100"}, 1, ("h100",), []),
        ({"gpus": "4"}, 4, (), ["--gpus=a100:4"]),
        ({"gpus-per-node": "h100:4"}, 4, ("h100",), []),
        ({"gpus-per-task": "1", "ntasks": "4"}, 4, (), ["--gpus-per-task=a100:1"]),
        ({"gpus-per-task": "1", "ntasks-per-node": "2", "nodes": "1"}, 2, (), ["--gpus-per-task=a100:1"]),
        ({"gres": "lscratch:100"}, 0, (), []),
    ],
)
def test_gpus_are_understood_however_they_are_asked_for(
    launcher: Launcher, lines: dict[str, str], gpus: int, types: tuple[str, ...], added: list[str]
) -> None:
    """Every way to ask for GPUs counts; a type that is open is filled in where they were asked for."""
    need = need_of(lines, Need())
    assert (need.gpus, need.gpu_types) == (gpus, types)
    options = filled_in(lines, launcher.choose(need), "mine")
    assert [option for option in options if option.startswith(("--gres", "--gpus"))] == added


@pytest.mark.parametrize(
    ("text", "words"),
    [("#SBATCH --nodes=2k\n", "no number"), ("#SBATCH hetjob\n", "line 2 .* several parts")],
)
def test_what_cannot_be_placed_is_a_usage_error(text: str, words: str) -> None:
    """A number that is none, and jobs of several parts, are refused in one line."""
    with pytest.raises(UsageError, match=words):
        need_of(read_directives(f"#!/bin/bash\n{text}"), Need())


def test_endless_quotes_are_a_usage_error() -> None:
    """A directive whose quotes do not end names its line."""
    with pytest.raises(UsageError, match="line 2"):
        read_directives('#!/bin/bash\n#SBATCH --comment="open\n')
