"""Two processes that train together, really started."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from mlcost_hpc.errors import UsageError
from mlcost_hpc.train import store
from mlcost_hpc.train.attempts import read_attempts
from mlcost_hpc.train.distributed import Place, find_place
from mlcost_hpc.train.ranks import Ranks, choose_gap

SCRIPT = Path(__file__).with_name("ranks_worker.py")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def start_pair(start_worker):
    """Start two processes that train together, as srun would."""

    def start(folder, steps, *options, only_second=()):
        port = free_port()
        return [
            start_worker(
                folder,
                steps,
                *options,
                *(only_second if rank == 1 else ()),
                script=SCRIPT,
                environment={
                    "SLURM_JOB_ID": "7",
                    "SLURM_STEP_NUM_TASKS": "2",
                    "SLURM_PROCID": str(rank),
                    "SLURM_LOCALID": str(rank),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                    "SLURM_RESTART_COUNT": str(len(list(Path(folder).glob("attempts/7.*")))),
                },
            )
            for rank in range(2)
        ]

    return start


def end(pair):
    for worker in pair:
        worker.go_on()
    ends = [worker.end() for worker in pair]
    return [code for code, _, _ in ends], [out for _, out, _ in ends], "".join(err for _, _, err in ends)


@pytest.mark.parametrize("kind", [(), ("--fsdp",)], ids=["ddp", "fsdp"])
def test_a_signal_to_one_process_makes_all_save_and_leave_together(tmp_path, start_pair, read_result, kind):
    """One rank is told; both stop after the same step, and the resumed pair ends as if nothing had been."""
    codes, undisturbed, err = end(start_pair(tmp_path / "a", 20, *kind))
    assert codes == [0, 0], err

    pair = start_pair(tmp_path / "b", 20, "--hold-step", 0, *kind)
    for worker in pair:
        worker.wait_for("holding")
    pair[1].process.send_signal(signal.SIGTERM)
    codes, _, err = end(pair)
    assert codes == [85, 85], err
    (entry,) = store.list_checkpoints(tmp_path / "b" / "checkpoints")
    assert entry.manifest is not None
    assert entry.manifest.world == 2

    codes, resumed, err = end(start_pair(tmp_path / "b", 20, *kind))
    assert codes == [0, 0], err
    assert f"resumed at step {entry.step}" in err
    assert [read_result(out) for out in resumed] == [read_result(out) for out in undisturbed]
    first, second = read_attempts(tmp_path / "b")
    assert first.last_step == second.first_step == entry.step


@pytest.mark.parametrize("saves", ["blocking", "background"])
def test_a_save_that_fails_in_one_process_is_a_warning_for_all(tmp_path, start_pair, saves):
    """The quota of one process is spent: no half checkpoint is published and training goes on to its end."""
    pair = start_pair(tmp_path, 8, "--save-every", 3, "--saves", saves, only_second=("--small-files",))
    codes, _, err = end(pair)
    assert codes == [0, 0], err
    assert "step 3 could not be written (OSError: [Errno 27] File too large)" in err
    assert store.list_checkpoints(tmp_path / "checkpoints") == []
    assert [path.name for path in (tmp_path / "checkpoints").glob(".*")] == [".owner"]
    (attempt,) = read_attempts(tmp_path)
    assert (attempt.reached_step, attempt.last_step) == (8, 0)
    assert attempt.warnings  # a save that was still being given up may have taken the place of step 6's


def test_a_killed_process_does_not_make_the_other_ask_for_a_requeue(tmp_path, start_pair):
    """Without a stop signal the loss of a peer is an error, not a preemption."""
    pair = start_pair(tmp_path, 20, "--hold-step", 5)
    for worker in pair:
        worker.wait_for("holding")
    pair[1].process.kill()
    pair[1].end()
    code, _, _ = pair[0].end("go on\n")
    assert code == 1
    assert not (tmp_path / "requeue-me").exists()


def test_processes_that_do_not_know_each_other_are_refused():
    """Two tasks without a process group would overwrite each other's checkpoints."""
    with pytest.raises(UsageError, match="2 processes were started but do not know each other"):
        Ranks({"SLURM_STEP_NUM_TASKS": "2"})


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "5", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        (
            {
                "SLURM_JOB_ID": "45005",
                "SLURM_STEP_NUM_TASKS": "4",
                "SLURM_PROCID": "3",
                "SLURM_LOCALID": "1",
                "SLURM_STEP_NODELIST": "a100-[3-4]",
            },
            Place(3, 4, 1, "a100-3", 25005),
        ),
        (
            {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "n1", "MASTER_PORT": "29501"},
            Place(1, 2, 1, "n1", 29501),
        ),
    ],
)
def test_a_process_finds_its_place(environment, place):
    """Torchrun's words come first, then those of the srun step; a batch shell alone is alone."""
    assert find_place(environment) == place


@pytest.mark.parametrize(
    ("world", "speed", "until_due", "gap"),
    [
        (1, 1000.0, None, 1),  # alone it costs nothing
        (2, None, None, 1),  # not known yet
        (2, 0.1, None, 1),  # long steps: after each
        (2, 1000.0, None, 200),
        (2, 1000.0, 7, 7),  # a save is due at a certain step
    ],
)
def test_short_steps_agree_a_few_times_a_second(world, speed, until_due, gap):
    """Messages after each step of a millisecond would cost more than the steps."""
    assert choose_gap(world, speed, until_due) == gap


def test_processes_agree_on_the_part_that_fits_in_all_of_them(start_worker):
    """The one with less memory decides; the gradient is the whole batch's; a restart knows the size."""
    port = free_port()
    pair = [
        start_worker(
            script=SCRIPT.with_name("accumulate_worker.py"),
            environment={
                "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    for code, out, err in [worker.end() for worker in pair]:
        assert code == 0, err
        assert out.splitlines() == ["tried [40, 20, 10, 5] then [5] part 5", "result alike"]


def test_shards_are_saved_beside_the_training(tmp_path, start_pair, read_result):
    """A sharded save in the background holds the state of its step, and a resumed pair ends alike."""
    codes, undisturbed, err = end(start_pair(tmp_path / "a", 20, "--fsdp"))
    assert codes == [0, 0], err
    options = ("--fsdp", "--saves", "background", "--save-every", 4)
    pair = start_pair(tmp_path / "b", 20, *options, "--hold-step", 11)
    for worker in pair:
        worker.wait_for("holding")
    deadline = time.monotonic() + 120
    while not store.list_checkpoints(tmp_path / "b" / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.05)  # the writers go on while the training is held
    for worker in pair:
        worker.process.kill()
    for worker in pair:
        worker.end()
    (newest, *_) = store.list_checkpoints(tmp_path / "b" / "checkpoints")
    assert newest.step < 11
    codes, resumed, err = end(start_pair(tmp_path / "b", 20, *options))
    assert codes == [0, 0], err
    assert f"resumed at step {newest.step}" in err
    assert [read_result(out) for out in resumed] == [read_result(out) for out in undisturbed]
