"""A disk that is really full, and a quota that is really spent: small file systems of their own."""

from __future__ import annotations

import os
import shutil
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


@pytest.fixture
def small_quota(tmp_path):
    """A folder with a quota of 4 MiB, on Btrfs: quotas of ext4 and XFS want more of a kernel."""
    if os.geteuid() != 0 or shutil.which("mkfs.btrfs") is None:
        pytest.skip(
            "a file system with quotas needs root and btrfs-progs; a size limit on files is tested without"
        )
    image, disk = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    disk.mkdir()
    subprocess.run(["mkfs.btrfs", "--quiet", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine (a container?) does not let root mount a Btrfs image")
    folder = disk / "home"
    try:
        for words in (
            ["quota", "enable", disk],
            ["subvolume", "create", folder],
            ["qgroup", "limit", "4M", folder],
        ):
            subprocess.run(["btrfs", *words], check=True, capture_output=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_save_beyond_the_quota_leaves_the_earlier_one_and_no_remains(small_quota):
    """What the failed save took is given back, and the next save that fits succeeds."""
    keeper = Checkpointer(small_quota)
    keeper.save(1, {"w": torch.zeros(MIB, dtype=torch.uint8)})
    files = sorted(small_quota.rglob("*"))
    with pytest.raises(CheckpointError, match="quota exceeded"):
        keeper.save(2, {"w": torch.zeros(8 * MIB, dtype=torch.uint8)})
    assert sorted(small_quota.rglob("*")) == files
    assert shutil.disk_usage(small_quota).free > 16 * MIB
    keeper.save(3, {"w": torch.zeros(MIB, dtype=torch.uint8)})
    assert keeper.restore()[0].step == 3


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
@pytest.mark.parametrize("limited", ["small_disk", "small_quota"])
def test_training_outlives_a_full_disk_and_a_spent_quota(limited, saves, request):
    """Every save without room fails with a warning; the training reaches its end and is resumed."""
    folder = request.getfixturevalue(limited)
    model = torch.nn.Linear(256, 256)
    with Run(folder, save_every=2, saves=saves, environment={}) as run:
        run.state(model=model)
        for step in run.steps(8):
            if step == 3:
                run._saver.settle()
                with (folder / "ballast").open("wb", buffering=0) as ballast:
                    size = 65536
                    while size >= 1:
                        try:
                            ballast.write(bytes(size))
                        except OSError:
                            size //= 2
    (folder / "ballast").unlink()
    with Run(folder, environment={}) as run:
        run.state(model=model)
        assert run.restore() == 2
    assert read_attempts(folder)[0].last_step == 2
