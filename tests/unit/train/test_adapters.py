"""What the adapters for other trainers share; the frameworks themselves are not installed here."""

import os
import signal

import pytest

from mlcost_hpc.train import Stopped
from mlcost_hpc.train.adapters import Leaving


@pytest.mark.parametrize(
    ("number", "code", "asks"),
    [(signal.SIGTERM, 85, True), (signal.SIGUSR2, 85, True), (signal.SIGINT, 130, False)],
)
def test_a_stopped_and_saved_run_leaves_with_its_code(tmp_path, number, code, asks):
    """TERM and USR2 ask for a requeue, Ctrl-C does not; the old handlers are back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    leaving = Leaving({"MLCOST_RUN_DIR": str(tmp_path), "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"})
    leaving.begin()
    os.kill(os.getpid(), number)
    assert leaving.is_asked
    with pytest.raises(Stopped) as stopped:
        leaving.end(is_first=True, is_saved=True)
    assert stopped.value.code == code
    assert (tmp_path / "requeue-me").exists() is asks
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_that_heard_no_signal_leaves_with_the_others(tmp_path):
    """One of the processes was told to stop and all have saved: the first one asks for the requeue."""
    leaving = Leaving({"MLCOST_RUN_DIR": str(tmp_path), "SLURM_JOB_ID": "7"})
    leaving.begin()
    with pytest.raises(Stopped) as stopped:
        leaving.end(is_first=True, is_saved=True)
    assert stopped.value.code == 85
    assert (tmp_path / "requeue-me").exists()


@pytest.mark.parametrize("signalled", [False, True])
def test_a_run_that_ended_by_itself_does_not_leave(tmp_path, signalled):
    """No signal, or one so late that nothing was saved because of it: the end is the end."""
    leaving = Leaving({"MLCOST_RUN_DIR": str(tmp_path)})
    leaving.begin()
    if signalled:
        os.kill(os.getpid(), signal.SIGTERM)
    leaving.end(is_first=True, is_saved=False)
    assert not (tmp_path / "requeue-me").exists()
