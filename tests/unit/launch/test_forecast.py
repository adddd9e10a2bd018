"""Expected run time, wait and cost."""

import math
from decimal import Decimal

import msgspec
import pytest

from mlcost_hpc.errors import BudgetError, NoOfferError, UsageError
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.history import Sample
from mlcost_hpc.launch.interruption import Costs, expect_interruptions, expect_running, saved_in_time
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.launch.past import NOTHING, Past, by_partition
from mlcost_hpc.launch.shape import Shape
from mlcost_hpc.launch.speed import Measurement
from mlcost_hpc.launch.waiting import expect_wait

SPOT = Offer(partition="spot", gpu_type="h100", gpu_model="h100", gpus_per_node=8, preemptible=True)
ONE = Shape(nodes=1, gpus=1, cpus=4, memory=0)
TEN_HOURS = Work(amount=10, unit="hours", gpu_model="h100")


def sample(wait_s: int = 0, elapsed_s: int = 3600, **changes: object) -> Sample:
    plain = Sample(
        partition="spot", gpu_type="h100", gpus=1, wait_s=wait_s, elapsed_s=elapsed_s, preempted=False,
        failed_node=False, qos="normal",
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def past(samples: list[Sample]) -> Past:
    return by_partition(samples)["spot"]


def test_idle_place_is_had_at_once() -> None:
    """With enough idle a job starts within a scheduler's cycle, whatever the past was."""
    idle = msgspec.structs.replace(SPOT, gpus_idle=4, cpus_idle=64)
    wait = expect_wait(idle, ONE, past([sample(wait_s=7200)] * 20))
    assert wait.seconds <= 15
    assert wait.high >= wait.seconds


def test_busy_place_waits_as_others_did() -> None:
    """Without idle GPUs the site's own waits count, with their quantiles."""
    waits = [sample(wait_s=seconds) for seconds in range(0, 3000, 100)]
    wait = expect_wait(SPOT, ONE, past(waits))
    assert wait.seconds == pytest.approx(1500, abs=100)
    assert wait.low < wait.seconds < wait.high
    assert "30 runs like it here" in wait.basis


def test_no_history_is_said_and_widens_the_interval() -> None:
    """A wait that nothing is known about has a wide interval and says so."""
    wait = expect_wait(SPOT, ONE, NOTHING)
    assert wait.high / wait.low > 100
    assert "0 runs are no history" in wait.basis


def test_preemption_rate_moves_from_the_prior_to_what_was_seen() -> None:
    """One a day without history; with 100 h and 10 preemptions about one in ten hours."""
    assert expect_interruptions(SPOT, NOTHING).preemptions_per_hour == pytest.approx(1 / 24)
    seen = [sample(preempted=number < 10) for number in range(100)]
    stops = expect_interruptions(SPOT, past(seen))
    assert stops.preemptions_per_hour == pytest.approx(11 / 124)
    assert stops.low < stops.preemptions_per_hour < stops.high


def test_guaranteed_place_is_never_preempted() -> None:
    """Only node failures stop a job in a guaranteed place."""
    guaranteed = msgspec.structs.replace(SPOT, preemptible=False)
    assert expect_interruptions(guaranteed, NOTHING).preemptions_per_hour == 0


def test_save_must_fit_grace_and_kill_wait() -> None:
    """A save of 40 s fits 20 s of grace and 30 s of KillWait, one of a minute does not."""
    offer = msgspec.structs.replace(SPOT, grace_time_s=20)
    assert saved_in_time(offer, Costs(save_s=40), 30)
    assert not saved_in_time(offer, Costs(save_s=60), 30)
    assert not saved_in_time(offer, Costs(checkpoints=False), 30)


def test_job_without_checkpoints_pays_for_every_preemption() -> None:
    """A job that starts from nothing takes far longer where it is preempted."""
    saved = expect_running(10, 0.1, 0.001, Costs(), saved=True)
    unsaved = expect_running(10, 0.1, 0.001, Costs(checkpoints=False), saved=False)
    assert saved.billed_h < 10.2
    assert unsaved.billed_h > 15


def measured(**per_second: float) -> Evidence:
    own = tuple(
        Measurement(gpu_model=model.replace("_", "-"), gpus=1, per_second=value, job="j")
        for model, value in per_second.items()
    )
    return Evidence(own=own)


def test_speed_decides_between_a_cheap_and_a_fast_gpu(launcher: Launcher) -> None:
    """A GPU at twice the price wins when the job is three times as fast on it, not when it is as fast."""
    need = Need(gpus=1, work=Work(amount=36000), preemptible=False)
    fast = launcher.choose(need, measured(a100_40gb=1.0, h100=3.0)).best
    slow = launcher.choose(need, measured(a100_40gb=1.0, h100=1.1)).best
    assert (fast.offer.label, slow.offer.label) == ("h100", "a100-40gb")
    assert fast.forecast.work_h == pytest.approx(10 / 3, rel=0.01)


def test_what_is_unsure_is_expected_to_cost_more_than_its_middle(launcher: Launcher) -> None:
    """Speed is lognormal: the expected hours lie above the middle, the more the less is known."""
    need = Need(gpus=1, work=Work(amount=36000), preemptible=False)
    sure, guessed = (
        next(item for item in launcher.choose(need, evidence).ranked if item.offer.label == "h100").forecast
        for evidence in (measured(h100=1.0), measured(a100_40gb=1.0))
    )
    for known in (sure, guessed):
        assert known.speed is not None
        middle = 10 / known.speed.per_second
        assert known.work_h == pytest.approx(middle * math.exp(known.speed.sigma**2 / 2))
        assert known.hours_low < middle < known.hours_high
    assert sure.speed is not None
    assert guessed.speed is not None
    assert guessed.work_h * guessed.speed.per_second > 1.1 * sure.work_h * sure.speed.per_second


def test_hours_on_a_gpu_are_scaled_by_what_this_job_measured(launcher: Launcher) -> None:
    """Ten hours on an A100 are five on an H100 where this job made twice the steps on it."""
    need = Need(gpus=1, work=Work(amount=10, unit="hours", gpu_model="a100-40gb"), preemptible=False)
    ranked = launcher.choose(need, measured(a100_40gb=3.0, h100=6.0)).ranked
    h100 = next(item for item in ranked if item.offer.label == "h100").forecast
    assert h100.work_h == pytest.approx(5, rel=0.01)
    assert h100.speed is not None
    assert h100.speed.basis == "measured on h100"


def test_steps_without_any_speed_are_a_usage_error(launcher: Launcher) -> None:
    """Steps cannot become hours before a speed was measured; the error says what to do."""
    with pytest.raises(UsageError, match="mlcost calibrate"):
        launcher.choose(Need(gpus=1, work=Work(amount=100)))


def test_value_of_waiting_pays_for_more_gpus(launcher: Launcher) -> None:
    """Who values an hour highly gets more GPUs."""
    cheap = launcher.choose(Need(gpus=1, gpus_max=8, work=TEN_HOURS)).best
    quick = launcher.choose(Need(gpus=1, gpus_max=8, work=TEN_HOURS, hour_value=Decimal(100))).best
    assert cheap.gpus == 1
    assert quick.gpus == 8


def test_deadline_rules_out_what_is_hardly_in_time(launcher: Launcher) -> None:
    """With a deadline only places count that are done in time with the stated probability."""
    choice = launcher.choose(Need(gpus=1, gpus_max=8, work=TEN_HOURS, deadline_s=6 * 3600))
    assert choice.best.gpus > 1
    assert all((item.forecast.on_time or 0) >= 0.9 for item in choice.ranked)
    assert choice.late


def test_impossible_deadline_names_the_surest_place(launcher: Launcher) -> None:
    """When nothing is done in time the error (exit 3) names the surest place and when it is done."""
    with pytest.raises(NoOfferError, match=r"the surest is .*Possible with --deadline \d+h, or with more"):
        launcher.choose(Need(gpus=1, work=TEN_HOURS, deadline_s=3600))


def test_too_small_a_budget_names_the_cheapest(launcher: Launcher) -> None:
    """A budget below the cheapest offer is refused (exit 4) with that offer's cost."""
    with pytest.raises(BudgetError, match="cheapest that fits is spot with 1 x") as caught:
        launcher.choose(Need(gpus=1, work=TEN_HOURS, budget=Decimal(1)))
    assert caught.value.exit_code == 4
    enough = Decimal(str(caught.value).rpartition("--budget ")[2])
    assert launcher.choose(Need(gpus=1, work=TEN_HOURS, budget=enough)).ranked


def test_time_limit_is_close_to_the_run_time(launcher: Launcher) -> None:
    """Without --time the limit is the upper end of the run time, so that backfill finds a place."""
    best = launcher.choose(Need(gpus=1, work=Work(amount=36000)), measured(h100=10.0)).best
    assert best.forecast.time_limit_s % 300 == 0
    assert best.forecast.hours_high * 3600 < best.forecast.time_limit_s < 1.5 * 3600 + 1800


def test_partition_with_many_preemptions_loses_its_advantage(launcher: Launcher) -> None:
    """When spot is preempted every few minutes and the job cannot save, the guaranteed place is cheaper."""
    past = by_partition([sample(elapsed_s=300, preempted=True)] * 200)
    own = measured(h100=1.0).own
    need = Need(gpus=1, work=Work(amount=36000), gpu_types=("h100",))
    calm = launcher.choose(need, Evidence(own=own)).best
    stormy = launcher.choose(need, Evidence(past=past, own=own, costs=Costs(checkpoints=False))).best
    assert (calm.offer.partition, stormy.offer.partition) == ("spot", "h100")


def test_queue_is_not_billed(launcher: Launcher) -> None:
    """Waiting delays the result and costs nothing."""
    past = by_partition([sample(wait_s=7200)] * 30)
    busy = [msgspec.structs.replace(offer, gpus_idle=0) for offer in launcher.offers]
    from mlcost_hpc.launch.choose import choose

    need = Need(gpus=1, work=TEN_HOURS, partitions=("spot",), gpu_types=("h100",))
    best = choose(need, busy, launcher.catalog, launcher.card, Evidence(past=past)).best
    assert best.forecast.to_result_h > best.forecast.hours + 1.9
    assert best.forecast.cost == pytest.approx(best.per_hour * Decimal(best.forecast.hours))


def test_variant_of_a_measured_program_needs_one_calibration_only(launcher: Launcher) -> None:
    """Where the same program was measured with other arguments, the advice is to measure one GPU type."""
    other = Measurement(gpu_model="h100", gpus=1, per_second=1, job="other", program="train.py")
    evidence = Evidence(others=(other,), job="mine", program="train.py")
    with pytest.raises(UsageError, match="one GPU type is enough"):
        launcher.choose(Need(gpus=1, work=Work(amount=100)), evidence)


def test_guesses_that_may_well_be_wrong_are_told(launcher: Launcher) -> None:
    """Where another GPU could be the cheaper one for all that is known, the advice is to measure."""
    need = Need(gpus=1, work=Work(amount=36000), preemptible=False)
    guessed = launcher.choose(need, measured(a100_40gb=1.0))
    assert any("mlcost calibrate" in note and "h100" in note for note in guessed.notes)
    sure = launcher.choose(need, measured(a100_40gb=1.0, h100=1.1))
    assert not any("mlcost calibrate" in note for note in sure.notes)


def test_old_history_widens_the_intervals(launcher: Launcher) -> None:
    """A past that is a day older than it should be doubles the ends of the intervals, and moves no middle."""
    past = by_partition([sample(wait_s=600, preempted=number < 5) for number in range(30)])
    need = Need(gpus=1, work=TEN_HOURS, partitions=("spot",), gpu_types=("h100",))
    fresh, old = (
        launcher.choose(need, Evidence(past=past, doubt=doubt)).best.forecast for doubt in (1.0, 2.0)
    )
    assert old.wait.high == 2 * fresh.wait.high
    assert old.interruptions.high == 2 * fresh.interruptions.high
    assert old.cost_high > fresh.cost_high
    assert old.cost == fresh.cost
