"""Why a run is stopped, how long it has, and what it saves in that time."""

import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.slurm.api import Job
from mlcost_hpc.train import stopping
from mlcost_hpc.train.requeue import StopSignal

NOW = 1_000_000
SLURM = {"SLURM_JOB_ID": "7"}


def job(**facts):
    return Job(job_id="7", raw_job_id="7", started=NOW - 600, time_limit_s=7200, **facts)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        # as the controller of a real cluster showed them
        ({"state": "RUNNING", "preempted": NOW, "ended": NOW + 15}, "preempted"),  # within its grace time
        (
            {"state": "COMPLETING", "ended": None, "restarts": 1},
            "preempted",
        ),  # preempted without a grace time
        ({"state": "COMPLETING", "ended": NOW}, "signal"),  # scancel
        ({"state": "CANCELLED", "ended": NOW}, "signal"),
        ({"state": "RUNNING", "ended": NOW + 6600}, "signal"),  # scancel --signal
    ],
)
def test_slurm_says_why_a_job_is_stopped(facts, reason):
    """Preemption, cancelling and a person's signal are told apart by state and times."""
    assert stopping.find_reason(signal.SIGTERM, SLURM, job(**facts), NOW) == reason


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_near_the_time_limit_it_is_a_timeout(state):
    """Slurm warns up to a minute early, and TERM comes after the limit: both are timeouts."""
    late = NOW + 6600 - 100
    assert stopping.find_reason(signal.SIGUSR2, SLURM, job(state=state, ended=late), late) == "timeout"


@pytest.mark.parametrize(("seconds", "reason"), [(100, "timeout"), (3600, "preempted")])
def test_without_slurm_the_environment_decides(seconds, reason):
    """In a container nobody can be asked; the end of the job is in the environment."""
    environment = SLURM | {"SLURM_JOB_END_TIME": str(NOW + seconds)}
    assert stopping.find_reason(signal.SIGTERM, environment, None, NOW) == reason


def test_outside_slurm_and_for_ctrl_c_it_is_a_signal():
    """A person did it."""
    assert stopping.find_reason(signal.SIGTERM, {}, None, NOW) == "signal"
    assert stopping.find_reason(signal.SIGINT, SLURM, None, NOW) == "signal"


def test_seconds_left_come_from_slurm_first():
    """The end of the grace time as Slurm says it, plus the wait between TERM and KILL."""
    at = time.monotonic()
    assert stopping.find_seconds_left(at, {}, job(ended=NOW + 15), now=NOW) == 25
    assert stopping.find_seconds_left(at, {"MLCOST_KILL_WAIT_S": "30"}, job(ended=NOW), now=NOW) == 30
    assert stopping.find_seconds_left(at, {"MLCOST_GRACE_S": "60"}, None) == pytest.approx(70, abs=1)
    assert stopping.find_seconds_left(at - 8, {}, None) == pytest.approx(2, abs=1)
    assert stopping.find_seconds_left(at - 99, {}, None) == 0


def test_slurm_that_cannot_be_asked_is_no_reason_to_fail(monkeypatch, tmp_path):
    """Without scontrol on PATH (in a container) there is no answer, and no error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stopping.ask_slurm("7") is None


@pytest.mark.parametrize(
    ("left", "required", "optional", "background", "plan"),
    [
        (60, 10, 5, None, (False, True)),  # time for all
        (12, 10, 5, None, (False, False)),  # the optional state has to go
        (60, 10, 5, 20, (True, True)),
        (32, 10, 5, 20, (True, False)),
        (15, 10, 5, 20, (False, True)),  # giving up the one under way makes room
        (8, 10, 5, 6, (True, False)),  # only the one under way can still be had
        (4, 10, 5, 6, (False, False)),  # nothing fits: the required state is tried
    ],
)
def test_what_is_saved_fits_the_time(left, required, optional, background, plan):
    """The table of cases."""
    assert stopping.plan_stop(left, required_s=required, optional_s=optional, background_s=background) == plan


_S = st.floats(0, 1000)


@given(_S, _S, _S, st.none() | _S)
def test_what_is_added_never_endangers_the_required_state(left, required, optional, background):
    """Whenever the required state fits by itself, it fits together with all that is planned before it."""
    plan = stopping.plan_stop(left, required_s=required, optional_s=optional, background_s=background)
    used = required + (optional if plan.with_optional else 0)
    if plan.finish_background:
        assert background is not None
        used += background
    if required <= left:
        assert used <= left


def test_a_warning_after_the_end_kills_nobody():
    """USR2 that comes when the run is over is ignored; TERM is obeyed as before; own handlers are back."""
    script = (
        "import os, signal, sys\n"
        "from mlcost_hpc.train.requeue import StopSignal\n"
        "with StopSignal(): pass\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\n"
        "print('alive', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("alive\n", -signal.SIGTERM)
    own = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        mine = signal.getsignal(signal.SIGUSR2)
        with StopSignal():
            pass
        assert signal.getsignal(signal.SIGUSR2) is mine
    finally:
        signal.signal(signal.SIGUSR2, own)
