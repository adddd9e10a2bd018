"""The site's past, boiled down and kept."""

from pathlib import Path

from mlcost_hpc.errors import SlurmTimeoutError
from mlcost_hpc.launch.history import KEEP_S, read_history
from mlcost_hpc.launch.past import Waits, by_partition
from mlcost_hpc.slurm.api import Run
from mlcost_hpc.slurm.fake import FakeSlurm
from mlcost_hpc.units import Tres

NOW = 1_790_000_000
RUN = Run(
    cluster="c", job_id="7", raw_job_id="7", state="PREEMPTED", partition="spot", submitted=NOW - 9000,
    eligible=NOW - 8000, started=NOW - 7000, ended=NOW - 3400, elapsed_s=3600,
    allocated=Tres(cpus=4, gpus=2, gpu_types={"h100": 2}),
)  # fmt: skip
WAITING = Run(cluster="c", job_id="8", raw_job_id="8", state="PENDING", eligible=NOW - 10, partition="spot")


def test_runs_that_started_become_samples(tmp_path: Path) -> None:
    """Wait counts from when a run could start; what never started is no sample."""
    history = read_history(FakeSlurm(runs=[RUN, WAITING]), tmp_path / "h.json", NOW)
    [sample] = history.samples
    assert (sample.wait_s, sample.gpu_type, sample.gpus, sample.preempted) == (1000, "h100", 2, True)
    assert history.note == ""


def test_history_is_asked_for_once_an_hour(tmp_path: Path) -> None:
    """Within the hour the kept samples are used and Slurm is not asked; afterwards it is."""
    path = tmp_path / "h.json"
    read_history(FakeSlurm(runs=[RUN]), path, NOW)
    assert len(read_history(FakeSlurm(), path, NOW + KEEP_S - 1).samples) == 1
    assert len(read_history(FakeSlurm(), path, NOW + KEEP_S + 1).samples) == 0


def test_old_history_is_better_than_none_and_says_so(tmp_path: Path) -> None:
    """When accounting does not answer, the kept samples are used and their age is told."""
    path = tmp_path / "h.json"
    read_history(FakeSlurm(runs=[RUN]), path, NOW)
    down = FakeSlurm(error=SlurmTimeoutError(["sacct"], 30))
    history = read_history(down, path, NOW + 5 * 3600)
    assert len(history.samples) == 1
    assert "history is 5 h old" in history.note
    assert history.age_s // 3600 == 5
    assert "no history: sacct did not answer" in read_history(down, tmp_path / "other.json", NOW).note


def test_damaged_file_is_asked_for_again(tmp_path: Path) -> None:
    """A kept file that cannot be read is replaced."""
    path = tmp_path / "h.json"
    path.write_text("{")
    assert len(read_history(FakeSlurm(runs=[RUN]), path, NOW).samples) == 1


def test_past_of_a_partition_sums_up(tmp_path: Path) -> None:
    """Hours, preemptions and waits are summed by partition, GPU type and size."""
    samples = read_history(FakeSlurm(runs=[RUN, RUN]), tmp_path / "h.json", NOW).samples
    past = by_partition(samples)["spot"]
    assert (past.stops["h100"].hours, past.stops["h100"].preempted) == (2.0, 2)
    assert past.waits_like("h100", 3, enough=2) == (Waits(2, 1000, 1000, 1000, 1000), "like it here")
    assert past.waits_like("h100", 8, enough=2) == (Waits(2, 1000, 1000, 1000, 1000), "on these GPUs here")
    assert past.waits_like("a100", 1, enough=2) == (Waits(2, 1000, 1000, 1000, 1000), "in this partition")
