"""Process groups are left in order at the end of the program, whoever forgets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, os, sys
import torch.distributed as dist
from mlcost_hpc.train import groups

def threads():
    return len(os.listdir("/proc/self/task"))

def tell():
    print("up" if dist.is_initialized() else "left")
    print("threads", "fewer" if threads() < with_both else "as before")

atexit.register(tell)  # runs after what is registered later
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=0, world_size=1)
own = groups.Group()
with_both = threads()
if "all" in sys.argv:
    groups.leave_all_at_exit()
if "own" in sys.argv:
    dist.destroy_process_group(own.handle)
if "everything" in sys.argv:
    dist.destroy_process_group()
atexit.register(lambda: print("at the end", dist.is_initialized()))
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "at the end True\nup\nthreads fewer\n"),  # the default group is the program's own
        (("all",), "at the end True\nleft\nthreads fewer\n"),
        (("all", "own"), "at the end True\nleft\nthreads fewer\n"),
        (("own",), "at the end True\nup\nthreads fewer\n"),
        (("all", "everything"), "at the end False\nleft\nthreads fewer\n"),
    ],
)
def test_groups_are_left_once(tmp_path, words, told):
    """Also when the program left one of them, or all, before."""
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path / "meeting"), *words]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert (ended.returncode, ended.stdout) == (0, told), ended.stderr
    assert "Traceback" not in ended.stderr
