"""Sending scripts to a controller that is slow or down, with stand-ins for Slurm's commands."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlcost_hpc.errors import SlurmCommandError
from mlcost_hpc.launch.sending import Sender, UnsentError, jobs_with

LATE = (
    "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
)
DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@dataclass
class Cluster:
    """Commands that do on their first, second, ... call what a list says, the last one from then on."""

    folder: Path
    pauses: list[float] = field(default_factory=list)

    def command(self, name: str, *bodies: str) -> None:
        cases = "".join(f"{number}) {body} ;;\n" for number, body in enumerate(bodies[:-1], start=1))
        path = self.folder / name
        path.write_text(
            f'#!/bin/bash\necho "$@" >> {self.folder}/{name}.calls\n'
            f"case $(wc -l < {self.folder}/{name}.calls) in\n{cases}*) {bodies[-1]} ;;\nesac\n"
        )
        path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def sender(self, **options: float) -> Sender:
        return Sender(sleep=self.pauses.append, **options)


SCRIPT = Path("/runs/a b/.1f.sbatch")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose commands are first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    made = Cluster(tmp_path)
    made.command("squeue", "exit 0")
    made.command("scancel", "exit 0")
    return made


def test_good_controller_is_asked_once(cluster: Cluster) -> None:
    """Without trouble there is one call of sbatch and none of squeue."""
    cluster.command("sbatch", "echo '17;here'")
    assert cluster.sender().send(SCRIPT, ["--time=5"], ["a"]) == "17"
    assert cluster.calls("sbatch") == [f"--parsable --time=5 {SCRIPT} a"]
    assert (cluster.calls("squeue"), cluster.pauses) == ([], [])


def test_job_that_was_taken_too_late_for_sbatch_is_not_sent_again(cluster: Cluster) -> None:
    """Sbatch gave up, the controller took the job: it is found by its script."""
    cluster.command("sbatch", LATE)
    cluster.command("squeue", f"echo '17|{SCRIPT} a'; echo '18|/other.sh'")
    assert cluster.sender().send(SCRIPT, arguments=["a"]) == "17"
    assert len(cluster.calls("sbatch")) == 1


def test_job_that_was_not_taken_is_sent_again(cluster: Cluster) -> None:
    """The queue does not know the script, twice, so that it is sent again, after growing pauses."""
    cluster.command("sbatch", LATE, DOWN, "echo 19")
    assert cluster.sender().send(SCRIPT) == "19"
    assert len(cluster.calls("sbatch")) == 3
    assert len(cluster.calls("squeue")) == 2 + 2 + 1
    assert cluster.pauses == sorted(cluster.pauses)


def test_question_that_overtakes_the_job_is_asked_again(cluster: Cluster) -> None:
    """A controller that comes back may answer before it takes the job that has waited longer."""
    cluster.command("sbatch", LATE, "echo 20")
    cluster.command("squeue", "exit 0", f"echo '17|{SCRIPT}'")
    assert cluster.sender().send(SCRIPT) == "17"
    assert len(cluster.calls("sbatch")) == 1


def test_nothing_is_sent_again_while_the_queue_is_silent(cluster: Cluster) -> None:
    """As long as nobody can say whether the job is there, sbatch is not called again."""
    cluster.command("sbatch", LATE, "echo 20")
    cluster.command("squeue", DOWN, DOWN, f"echo '17|{SCRIPT}'")
    assert cluster.sender().send(SCRIPT) == "17"
    assert len(cluster.calls("sbatch")) == 1


def test_job_that_turns_up_twice_runs_once(cluster: Cluster) -> None:
    """A first try that the controller takes after the second one is cancelled."""
    cluster.command("sbatch", LATE, "echo 18")
    cluster.command("squeue", "exit 0", "exit 0", f"echo '18|{SCRIPT}'; echo '19|{SCRIPT}'")
    assert cluster.sender().send(SCRIPT) == "18"
    assert cluster.calls("scancel") == ["19"]


def test_sbatch_that_never_answers_is_killed_and_looked_for(cluster: Cluster) -> None:
    """Our own time limit is as good a reason to look as sbatch's."""
    cluster.command("sbatch", "sleep 30")
    cluster.command("squeue", f"echo '17|{SCRIPT}'")
    assert cluster.sender(timeout_s=0.5).send(SCRIPT) == "17"


def test_dead_controller_is_one_line_with_what_was_tried(cluster: Cluster) -> None:
    """Tries are bounded; the line says how many, and that nobody knows whether the job is there."""
    cluster.command("sbatch", DOWN)
    cluster.command("squeue", DOWN)
    with pytest.raises(UnsentError) as caught:
        cluster.sender().send(SCRIPT)
    line = str(caught.value)
    assert "slurmctld does not answer" in line
    assert f"look for a job with the script {SCRIPT}" in line
    assert "\n" not in line
    assert len(cluster.calls("sbatch")) == 1


def test_controller_that_takes_no_jobs_is_told_so(cluster: Cluster) -> None:
    """Where the queue answers and sbatch does not, nothing was submitted for sure."""
    cluster.command("sbatch", LATE)
    with pytest.raises(UnsentError, match=r"sbatch was called 4 times in \d+ s; nothing was submitted"):
        cluster.sender().send(SCRIPT)
    assert len(cluster.calls("sbatch")) == 4


def test_refusal_is_not_tried_again(cluster: Cluster) -> None:
    """What Slurm refuses is its last word."""
    cluster.command("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(SlurmCommandError, match="Invalid account"):
        cluster.sender().send(SCRIPT)
    assert len(cluster.calls("sbatch")) == 1


def test_other_cluster_is_named_to_every_command(cluster: Cluster) -> None:
    """With a cluster, sbatch and squeue ask that one."""
    cluster.command("sbatch", LATE)
    cluster.command("squeue", f"echo 'CLUSTER: far'; echo '17|{SCRIPT}'")
    assert Sender(cluster="far", sleep=cluster.pauses.append).send(SCRIPT) == "17"
    calls = cluster.calls("sbatch") + cluster.calls("squeue")
    assert all(re.match("--clusters=far ", call) for call in calls)


def test_only_the_very_script_counts() -> None:
    """A path that begins like ours, or names it as an argument, is another job."""
    text = "1|/r/.a.sbatch\n2|/r/.a.sbatch2\n3|/x /r/.a.sbatch\n4|/r/.a.sbatch x y\n5|(null)\n"
    assert jobs_with(text, "/r/.a.sbatch") == {"1", "4"}
