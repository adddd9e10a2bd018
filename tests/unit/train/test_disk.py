"""A disk that is really full: a small file system of its own."""

from __future__ import annotations

import os
import subprocess

import pytest
import torch

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import Checkpointer, Run, store
from mlcost_hpc.train.attempts import read_attempts

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; a size limit on files is tested without")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine (a container?) does not let root mount anything")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_save_that_fills_the_disk_leaves_the_earlier_one_and_no_remains(small_disk):
    """The room the failed save took is free again, and the next save that fits succeeds."""
    keeper = Checkpointer(small_disk)
    keeper.save(1, {"w": torch.zeros(MIB, dtype=torch.uint8)})
    free = os.statvfs(small_disk).f_bavail
    with pytest.raises(CheckpointError, match="No space left"):
        keeper.save(2, {"w": torch.zeros(8 * MIB, dtype=torch.uint8)})
    assert os.statvfs(small_disk).f_bavail == free
    assert [entry.step for entry in store.list_checkpoints(small_disk)] == [1]
    keeper.save(3, {"w": torch.zeros(MIB, dtype=torch.uint8)})
    assert keeper.restore()[0].step == 3


@pytest.mark.parametrize("saves", ["blocking", "background"])
def test_training_outlives_a_full_disk(small_disk, saves):
    """Every save after the disk is full fails with a warning; the training reaches its end and is resumed."""
    model = torch.nn.Linear(256, 256)
    with Run(small_disk, save_every=2, saves=saves, environment={}) as run:
        run.state(model=model)
        for step in run.steps(8):
            if step == 3:
                run._saver.settle()
                with (small_disk / "ballast").open("wb", buffering=0) as ballast:
                    size = 65536
                    while size >= 1:
                        try:
                            ballast.write(bytes(size))
                        except OSError:
                            size //= 2
    (small_disk / "ballast").unlink()
    with Run(small_disk, environment={}) as run:
        run.state(model=model)
        assert run.restore() == 2
    assert read_attempts(small_disk)[0].last_step == 2
