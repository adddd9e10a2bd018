"""Every way a job is stopped on a real Slurm, and the work it costs: through ``mlcost submit`` and back.

Rows A to H are those of the signal table in docs/explanation/preemption.md. Trials that need the same
settings of the cluster run beside each other; benchmarks/preemption_rows.py runs them with plain submitit
beside them and on other releases, and writes the table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.live.conftest import DEFAULTS
from tests.live.fault_trials import Result, our_plans, run_together
from tests.live.faults import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.conftest import LiveCluster

pytestmark = pytest.mark.live

GRACE_S = 6
PLANS = our_plans(GRACE_S)
LONG = "end of the time limit"
"""Takes two minutes whatever the settings are: runs beside all others, and is looked at last."""


@pytest.fixture(scope="module")
def outcome(
    session_cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Result]]:
    """The result of a trial by its name; the first one asked for runs all that need its settings."""
    lab = Lab(session_cluster.name, tmp_path_factory.mktemp("faults"))
    results: dict[str, Result | Exception] = {}
    long_plan = next(plan for plan in PLANS if plan.name == LONG)

    def find(name: str) -> Result:
        if name == LONG:
            return ends_late.result()
        if name not in results:
            settings = next(plan.settings for plan in PLANS if plan.name == name)
            group = [plan for plan in PLANS if plan.settings == settings and plan is not long_plan]
            session_cluster.program("set", *settings)
            results.update(zip([plan.name for plan in group], run_together(lab, group), strict=True))
        result = results[name]
        if isinstance(result, Exception):
            raise result
        return result

    with ThreadPoolExecutor(1) as pool:
        ends_late = pool.submit(long_plan.trial, lab)
        yield find
    session_cluster.program("set", *DEFAULTS)


def test_row_c_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Grace time without the user's signal: TERM reaches the task at once, and it saves."""
    assert_nothing_lost(outcome("row C"))


def test_row_f_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Without srun nothing is told before the grace time ends; the save fits in KillWait."""
    assert_nothing_lost(outcome("row F"))


def test_two_ranks_save_and_return_together(outcome: Callable[[str], Result]) -> None:
    """One of two nodes is preempted: both processes stop at the same step, and there is one requeue."""
    result = outcome("two ranks on two nodes")
    assert_nothing_lost(result)
    assert result.details["loss_of_second"] == (0, 0.0)
    assert len(result.decisions) == 1


def test_full_disk_costs_the_work_since_the_last_save(outcome: Callable[[str], Result]) -> None:
    """A save that fails on a full disk ends nothing; the next run goes on from the last good one."""
    result = outcome("disk full at the preemption")
    assert result.state == "COMPLETED"
    assert result.runs[-1] == "COMPLETED"
    assert result.lost_steps > 0
    assert result.details["resumed_at"] == result.details["last_saved"]


def test_training_that_ends_in_its_grace_time_is_over(outcome: Callable[[str], Result]) -> None:
    """What ends by itself while it is being preempted is done, and is not run again."""
    result = outcome("own end within the grace time")
    assert (result.state, result.lost_steps, result.reasons[0]) == ("COMPLETED", 0, "finished")
    assert not result.details["has_run_again"]


def test_cancelled_job_saves_and_stays_cancelled(outcome: Callable[[str], Result]) -> None:
    """Scancel is the user's word: nothing is requeued."""
    result = outcome("cancelled by the user")
    assert (result.state, result.runs, result.lost_steps) == ("CANCELLED", ["CANCELLED"], 0)


def test_held_job_waits_for_its_release(outcome: Callable[[str], Result]) -> None:
    """A job that is requeued and held stays held, and goes on from its last step when released."""
    result = outcome("requeued and held, then released")
    assert (result.state, result.lost_steps) == ("COMPLETED", 0)
    assert result.details["held"] in ("PENDING", "REQUEUE_HOLD")
    assert result.decisions == ["left to Slurm (state COMPLETING)"]


def test_row_a_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Without grace time TERM comes KillWait before the kill: the save fits."""
    assert_nothing_lost(outcome("row A"))


def test_kill_during_the_last_save_costs_at_most_the_interval(outcome: Callable[[str], Result]) -> None:
    """A save that outlasts KillWait leaves remains, which the next run clears away, and nothing else."""
    result = outcome("killed while saving after a preemption")
    assert (result.state, result.runs) == ("COMPLETED", ["PREEMPTED", "COMPLETED"])
    assert result.lost_steps > 0
    assert result.details["resumed_at"] == result.details["last_saved"]
    assert (result.details["remains"], result.details["remains_after"]) == (1, 0)


def test_crashed_node_costs_at_most_the_interval(outcome: Callable[[str], Result]) -> None:
    """A node that is gone without a word: Slurm runs the job again, from the last periodic save."""
    result = outcome("node crashed")
    assert (result.state, result.runs) == ("COMPLETED", ["NODE_FAIL", "COMPLETED"])
    assert result.details["resumed_at"] == result.details["last_saved"]


def test_run_on_a_node_taken_for_dead_writes_no_more(outcome: Callable[[str], Result]) -> None:
    """The run that lives on there is stopped at its next save; the run that followed goes on alone."""
    result = outcome("node cut off, its processes alive")
    assert (result.state, result.runs) == ("COMPLETED", ["NODE_FAIL", "COMPLETED"])
    assert result.reasons == ["superseded", "finished"]
    assert "requeued" not in " ".join(result.decisions)


def test_kill_during_a_save_leaves_the_earlier_one(outcome: Callable[[str], Result]) -> None:
    """Signal 9 in the middle of a periodic save: the run resumes from the save before it."""
    result = outcome("killed while saving")
    assert (result.state, result.decisions) == ("COMPLETED", ["requeued (error)"])
    assert result.details["resumed_at"] == result.details["last_saved"]


def test_row_b_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """USR2 and TERM within the same moment are one wish to stop."""
    assert_nothing_lost(outcome("row B"))


def test_damaged_checkpoint_is_passed_over(outcome: Callable[[str], Result]) -> None:
    """The newest checkpoint that is whole is taken, and the record says why."""
    result = outcome("newest checkpoint damaged")
    assert (result.state, result.lost_steps > 0) == ("COMPLETED", True)
    assert "does not match its checksum" in result.details["warnings"][0]
    assert result.lost_steps <= result.details["interval"]


def test_more_signals_during_the_save_change_nothing(outcome: Callable[[str], Result]) -> None:
    """Three more signals, to task and script: one save, one requeue."""
    result = outcome("two signals")
    assert (result.state, result.lost_steps) == ("COMPLETED", 0)
    assert result.decisions == ["requeued (signal)"]


def test_only_the_signalled_task_of_an_array_runs_again(outcome: Callable[[str], Result]) -> None:
    """One task is requeued; the others never stop."""
    result = outcome("one task of an array")
    assert result.lost_steps == 0
    assert result.details["restarts"] == {"0": 0, "1": 1, "2": 0}


def test_row_d_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Grace time and the user's signal: USR2 reaches the task at once."""
    assert_nothing_lost(outcome("row D"))


def test_row_e_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Without srun the signal reaches nobody; TERM at the end of the grace time is enough."""
    assert_nothing_lost(outcome("row E"))


def test_row_g_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """A signal to the batch script only must not end it; the task saves when TERM comes."""
    assert_nothing_lost(outcome("row G"))


def test_row_h_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """Without --signal the task gets TERM at once."""
    assert_nothing_lost(outcome("row H"))


def test_time_limit_costs_no_step(outcome: Callable[[str], Result]) -> None:
    """A job at its time limit saves, is requeued as a timeout, and goes on."""
    result = outcome(LONG)
    assert result.decisions == ["requeued (timeout)"]
    assert (result.state, result.lost_steps, result.reasons) == ("COMPLETED", 0, ["timeout", "finished"])


def test_every_trial_has_its_test(request: pytest.FixtureRequest) -> None:
    """No trial runs without anybody looking at what came out."""
    source = request.path.read_text()
    assert [plan.name for plan in PLANS if f'outcome("{plan.name}")' not in source] == [LONG]


def assert_nothing_lost(result: Result) -> None:
    """The job was preempted once, and went on where it was."""
    assert (result.state, result.lost_steps) == ("COMPLETED", 0), result
    assert result.reasons == ["preempted", "finished"], result
    assert len(result.runs) == 2, result
    assert len(result.decisions) == 1, result
