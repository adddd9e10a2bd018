"""Being done by the deadline: the policy in a simulated queue, against greedy and against the optimum."""

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from mlcost_hpc.launch.fallback import deadline_plan
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.policy import Plan, decide
from mlcost_hpc.launch.render import Templates
from mlcost_hpc.launch.replan import left_s, mover_script, read_plan, write_plan

HOUR = 3600.0
RESTART_S, SAVE_S, DELAY_S = 60.0, 10.0, 121.0
SPOT_PRICE = 0.4


@dataclass
class World:
    """One future: how long each stay on spot lasts, and how long each wait is."""

    seed: int
    lifetime_s: float
    wait_s: float
    lives: list[float] = field(init=False)
    waits: list[float] = field(init=False)
    sure_wait_s: float = field(init=False)

    def __post_init__(self) -> None:
        luck = random.Random(self.seed)
        self.lives = [luck.expovariate(1 / self.lifetime_s) for _ in range(200)]
        self.waits = [luck.uniform(0, 2 * self.wait_s) for _ in range(200)]
        self.sure_wait_s = luck.uniform(0, 2 * self.wait_s)


def plan_for(world: "World | Small", deadline: float) -> Plan:
    quantile = 0.9 * 2 * world.wait_s
    return Plan(
        deadline=deadline, sure_partition="sure", sure_wait_s=quantile, cheap_wait_s=quantile,
        requeue_delay_s=DELAY_S, restart_s=RESTART_S, save_s=SAVE_S, helper_partition="cpu", work_s=WORK_S,
    )  # fmt: skip


Moves = Callable[[int, float, float], bool]
"""(stays on spot so far, seconds of work left, now) -> whether to move."""


def ours(plan: Plan) -> Moves:
    return lambda stays, left, now: stays > 0 and decide(plan, left_s=left, now=now) is not None


def after(stays_wanted: int) -> Moves:
    return lambda stays, _left, _now: stays == stays_wanted


def greedy(stays: int, left: float, now: float) -> bool:
    return False


def play(world: "World | Small", work_s: float, moves: Moves) -> tuple[float, float]:
    """Run one future; gives (end, cost)."""
    now, left, cost = 0.0, work_s, 0.0
    for number, life in enumerate(world.lives):
        if moves(number, left, now):
            now += (DELAY_S if number else 0) + world.sure_wait_s + RESTART_S + left
            return now, cost + (RESTART_S + left) / HOUR
        now += (DELAY_S if number else 0) + world.waits[number]
        held = min(life, RESTART_S + left)
        now, cost = now + held, cost + held / HOUR * SPOT_PRICE
        left -= max(0.0, held - RESTART_S - (SAVE_S if held == life else 0.0))
        if left <= 1e-6:
            return now, cost
    return now, cost


def best_move(world: "World | Small", work_s: float, deadline_s: float) -> float:
    """The least cost in time over all moves, known afterwards; never using spot where no move is in time."""
    options = [play(world, work_s, after(stays)) for stays in range(40)]
    return min((cost for end, cost in options if end <= deadline_s), default=options[0][1])


def futures(lifetime_h: float) -> list[World]:
    return [World(seed, lifetime_h * HOUR, 0.2 * HOUR) for seed in range(300)]


WORK_S, DEADLINE_S = 10 * HOUR, 16 * HOUR


@pytest.mark.parametrize("lifetime_h", [0.5, 2.0, 8.0])
def test_deadline_is_met_in_nine_of_ten_futures(lifetime_h: float) -> None:
    """However often spot is taken away, the deadline holds with the probability of the quantiles used."""
    ends = [play(world, WORK_S, ours(plan_for(world, DEADLINE_S)))[0] for world in futures(lifetime_h)]
    assert sum(end <= DEADLINE_S for end in ends) / len(ends) >= 0.9


def test_greedy_misses_what_the_policy_meets() -> None:
    """Always going back to spot is late in a third of the futures with short stays."""
    worlds = futures(0.5)
    ends = [play(world, WORK_S, greedy)[0] for world in worlds]
    assert sum(end <= DEADLINE_S for end in ends) / len(ends) < 0.7


@pytest.mark.parametrize("lifetime_h", [2.0, 8.0])
def test_cost_is_between_the_optimum_and_the_guaranteed_place(lifetime_h: float) -> None:
    """The policy costs less than never using spot, and a third more than the best move at most."""
    cost, best, never = 0.0, 0.0, 0.0
    for world in futures(lifetime_h):
        cost += play(world, WORK_S, ours(plan_for(world, DEADLINE_S)))[1]
        best += best_move(world, WORK_S, DEADLINE_S)
        never += play(world, WORK_S, after(0))[1]
    assert best <= cost * (1 + 1e-9)
    assert cost <= best * 1.34
    assert cost < never


def net(plan: Plan, share: float) -> Moves:
    """Move when less than a share of a failed try is left: 1 is the policy."""

    def moves(stays: int, left: float, now: float) -> bool:
        return stays > 0 and plan.deadline - now - left - plan.changeover_s < share * plan.failed_try_s

    return moves


def test_no_other_margin_is_safe_and_cheaper() -> None:
    """Less margin than one failed try misses deadlines, more of it costs more."""
    results = {
        share: [play(world, WORK_S, net(plan_for(world, DEADLINE_S), share)) for world in futures(0.5)]
        for share in (0.0, 0.5, 1.0, 2.0, 4.0)
    }
    kept = [sum(end <= DEADLINE_S for end, _ in found) / len(found) for found in results.values()]
    costs = [sum(cost for _, cost in found) for found in results.values()]
    assert kept[2] >= 0.99 > kept[1] > kept[0]
    assert costs[2] < costs[3] < costs[4]
    assert results[1.0] == [play(world, WORK_S, ours(plan_for(world, DEADLINE_S))) for world in futures(0.5)]


@dataclass
class Small:
    """A future written down by hand: stays on spot and waits, in seconds."""

    lives: list[float]
    waits: list[float]
    sure_wait_s: float = 600.0
    wait_s: float = 600.0


@pytest.mark.parametrize(
    ("lives", "deadline_s", "greedy_is_late"),
    [
        ([90000], 16000, False),  # never stopped, never asked
        ([1800, 1800, 90000], 72000, False),  # time for everything: spot to the end
        ([1800, *[60] * 50], 17400, True),  # no room after the first stop: moved at once
        ([1800, 5400, *[60] * 50], 18200, True),  # room for one more try, and no more
    ],
)
def test_small_cases_are_played_as_the_optimum_would(
    lives: list[float], deadline_s: float, *, greedy_is_late: bool
) -> None:
    """Four hours of work: the policy costs what the best move known afterwards costs, and is in time."""
    world = Small(lives, [600.0] * len(lives))
    end, cost = play(world, 4 * HOUR, ours(plan_for(world, deadline_s)))
    assert end <= deadline_s
    assert cost == pytest.approx(best_move(world, 4 * HOUR, deadline_s))
    greedy_left = 4 * HOUR - sum(max(0.0, life - RESTART_S - SAVE_S) for life in lives)
    assert (greedy_left > 0 or play(world, 4 * HOUR, greedy)[0] > deadline_s) == greedy_is_late


def test_plenty_of_time_means_another_try() -> None:
    """With a day of slack a preempted job tries the cheap place again."""
    plan = plan_for(World(0, HOUR, 0.1 * HOUR), 48 * HOUR)
    assert decide(plan, left_s=HOUR, now=0) is None


def test_move_says_why() -> None:
    """The reason names the time to the deadline, the work left and the changeover."""
    move = decide(plan_for(World(0, HOUR, 0.2 * HOUR), 2 * HOUR), left_s=1.5 * HOUR, now=0)
    assert move is not None
    assert move.partition == "sure"
    assert "2.0 h to the deadline, 90.0 min of work left" in move.reason


def test_plan_names_a_guaranteed_place_with_the_same_gpus(launcher: Launcher) -> None:
    """A job on spot H100s with a deadline can be moved to the H100 partition."""
    need = Need(
        gpus=1, gpu_types=("h100",), work=Work(amount=1, unit="hours", gpu_model="h100"), deadline_s=50000
    )
    choice = launcher.choose(need)
    plan = deadline_plan(choice, launcher.offers, 121, 1000.0)
    assert choice.best.offer.partition == "spot"
    assert plan is not None
    assert (plan.sure_partition, plan.deadline) == ("h100", 51000.0)


def test_no_deadline_means_no_plan(launcher: Launcher) -> None:
    """Without a deadline a preempted job always goes back to the cheap place."""
    assert deadline_plan(launcher.choose(Need(gpus=1)), launcher.offers, 121, 0.0) is None


def test_work_left_is_what_the_run_itself_says(tmp_path) -> None:
    """Steps left over measured steps a second; before the first speed, their share of the whole work."""
    plan = plan_for(World(0, HOUR, 0.01 * HOUR), 10_000)
    record = tmp_path / "7.0.json"
    record.write_text('{"job_id":"7","last_step":100,"total_steps":1000,"steps_per_second":2.0}')
    assert left_s(plan, record) == 450
    record.write_text('{"job_id":"7","last_step":250,"total_steps":1000}')
    assert left_s(plan, record) == 0.75 * WORK_S


@pytest.mark.parametrize("text", [None, "{", '{"job_id":"7","last_step":3}'])
def test_job_that_does_not_say_how_far_it_is_has_all_its_work_left(tmp_path, text: str | None) -> None:
    """Without a record, with a damaged one or an unknown end, nothing counts as done."""
    record = tmp_path / "7.0.json"
    if text is not None:
        record.write_text(text)
    assert left_s(plan_for(World(0, HOUR, 0.01 * HOUR), 10_000), record) == WORK_S


def test_plan_is_found_again(tmp_path) -> None:
    """A plan that was written is read; a missing or damaged one is no plan."""
    plan = plan_for(World(0, HOUR, HOUR), 10_000)
    assert read_plan(tmp_path) is None
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_mover_moves_the_task_and_nothing_else(tmp_path) -> None:
    """The small job updates the very array task, in the partition of the plan, and is valid bash."""
    text = mover_script(plan_for(World(0, HOUR, HOUR), 1), tmp_path, "17_4.2", Templates())
    assert "scontrol update JobId=17_4 Partition=sure" in text
    assert "#SBATCH --partition=cpu" in text
    assert '"$restarts" -gt 2' in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
