"""When `auto` leaves a recipe, and that it comes back when nothing else keeps to the limits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.methods.base import Rung
from mlcost_hpc.compress.plan import Limits, load_plan
from mlcost_hpc.compress.prospects import no_prospects, rounds_too_much
from mlcost_hpc.compress.records import Result, Score, Status
from mlcost_hpc.compress.worker import run_task

FINER = Rung(name="a third in fp32", options=None, refines=True)
OTHER = Rung(name="heavy operators", options=None)
LIMITS = Limits(max_loss=0.02, max_relative_error=0.1)


def lost(points: float) -> Score:
    return Score(
        metric="accuracy",
        before=1.0,
        after=1 - points / 100,
        relative_error=0.1,
        largest_difference=1,
        samples=9,
        data="d",
    )


def off(relative: float | None, agreement: float | None = None) -> Score:
    return Score(
        metric="agreement",
        agreement=agreement,
        relative_error=relative,
        largest_difference=1,
        samples=9,
        data="d",
    )


def measured(speed: float) -> Callable[[], float]:
    return lambda: speed


def unasked() -> float:
    raise AssertionError("nothing need be measured for this")


@pytest.mark.parametrize(
    ("status", "speed", "leaves"),
    [("slower", 0.57, True), ("slower", 0.79, True), ("slower", 0.81, False), ("no-op", 0.6, True)],
)
def test_far_too_slow_is_left(status: Status, speed: float, leaves: bool) -> None:
    """What lacks more than a fifth of the asked speed is not made up for by another setting."""
    why = no_prospects(LIMITS, status, [lost(0)], OTHER, speed=measured(speed), gain=unasked)
    assert bool(why) == leaves
    assert not leaves or f"x{speed:.2f}" in why


def test_the_asked_speed_counts_not_the_original_one() -> None:
    """Where twice the speed is asked for, x1.5 is far too slow."""
    limits = Limits(min_speedup=2.0)
    assert no_prospects(limits, "slower", [lost(0)], OTHER, speed=measured(1.5), gain=unasked)
    assert not no_prospects(limits, "slower", [lost(0)], OTHER, speed=measured(1.7), gain=unasked)


@pytest.mark.parametrize(("gain", "leaves"), [(0.93, True), (1.09, True), (1.1, False), (1.4, False)])
def test_a_wrong_candidate_that_gains_nothing_is_not_refined(gain: float, leaves: bool) -> None:
    """Mending pays only where it would be faster than 16-bit weights by a tenth."""
    why = no_prospects(LIMITS, "wrong", [lost(3)], FINER, speed=unasked, gain=measured(gain))
    assert bool(why) == leaves


def test_a_setting_that_may_be_faster_as_well_is_tried_without_measuring() -> None:
    """Fewer quantized operators can be far more right, and faster or slower: nothing tells beforehand."""
    assert not no_prospects(LIMITS, "wrong", [lost(65)], OTHER, speed=unasked, gain=unasked)


@pytest.mark.parametrize(
    ("score", "leaves"),
    [
        (lost(8.1), True),
        (lost(7.9), False),
        (off(0.41), True),
        (off(0.39), False),
        (off(0.01, agreement=0.9), True),
        (off(0.01, agreement=0.93), False),
        (off(None), False),
    ],
)
def test_what_lost_many_times_the_limit_is_not_refined(score: Score, leaves: bool) -> None:
    """By the metric, the classes or the outputs; numbers that are none say nothing about the distance."""
    if leaves:
        assert no_prospects(LIMITS, "wrong", [score], FINER, speed=unasked, gain=unasked)
    assert leaves or not no_prospects(LIMITS, "wrong", [score], FINER, speed=unasked, gain=measured(2.0))


def test_no_loss_at_all_as_the_limit_is_no_unit_to_count_in() -> None:
    """Where nothing may be lost, a tenth of a point is not infinitely much."""
    strict = Limits(max_loss=0.0)
    assert not no_prospects(strict, "wrong", [lost(0.1)], FINER, speed=unasked, gain=measured(2.0))
    assert no_prospects(strict, "wrong", [lost(3)], FINER, speed=unasked, gain=unasked)


@pytest.mark.parametrize(
    ("before", "now", "leaves"), [(2.6, 3.0, True), (5.3, 5.3, True), (6, 4.1, True), (6, 3.9, False)]
)
def test_refining_ends_when_it_mends_too_little(before: float, now: float, leaves: bool) -> None:
    """Mended once more by as much as by the last setting, the loss must be within the limit."""
    scores = [lost(before), lost(now)]
    assert bool(no_prospects(LIMITS, "wrong", scores, FINER, speed=unasked, gain=measured(2.0))) == leaves


def test_static_int8_is_not_begun_where_dynamic_int8_rounds_far_too_much() -> None:
    """Its ranges are fixed beforehand; a small loss, and any other recipe, is another matter."""
    assert rounds_too_much("int8-static", LIMITS, "wrong", lost(12))
    assert not rounds_too_much("int8-static", LIMITS, "wrong", lost(3))
    assert not rounds_too_much("int8-static", LIMITS, "slower", lost(12))
    assert not rounds_too_much("fp16", LIMITS, "wrong", lost(12))


METRIC = """
import numpy as np, onnxruntime as ort
def near(outputs, data):
    exact = ort.InferenceSession({model!r}).run(None, {{"x": data["x"]}})[0]
    return float(np.abs(outputs[0] - exact).max() <= {tolerance})
"""


def auto(folder: Path, model: Path, tolerance: float) -> Result:
    """Return the row of `auto` where outputs must be this close; speed does not matter."""
    np.savez(folder / "x.npz", x=np.random.default_rng(1).standard_normal((40, 64)).astype(np.float32))
    (folder / "metric.py").write_text(METRIC.format(model=str(model), tolerance=tolerance))
    plan = folder / "plan.toml"
    plan.write_text(
        'name = "p"\nbatches = [1]\n[limits]\nmin_speedup = 0.001\n'
        f'[[model]]\nname = "m"\nonnx = "{model.name}"\ndata = "x.npz"\nmetric = "metric.py:near"\n'
    )
    batch = Batch(folder / "batch")
    manifest = expand(load_plan(plan), plan)
    batch.write_manifest(manifest)
    return run_task(batch, manifest, manifest.tasks[0])


def test_auto_leaves_what_loses_everything_and_says_so(tmp_path: Path, linear: Path) -> None:
    """8 bits are far off here, 16 are not: static int8 is not even begun, and the row tells why."""
    row = auto(tmp_path, linear, 0.005)
    assert row.status == "ok"
    assert row.attempts[-1].rung == "fp16: as asked"
    assert not any(attempt.rung.startswith("int8-static") for attempt in row.attempts)
    left = row.attempts[-2]
    assert left.rung.startswith("int8-dynamic")
    assert "its other settings are left" in left.reason
    assert any("int8-static is left for last" in note for note in row.notes)


def test_auto_comes_back_to_all_it_left_when_nothing_keeps_to_the_limits(
    tmp_path: Path, linear: Path
) -> None:
    """Not even 16 bits will do: every setting that could mend this is tried in the end, none twice."""
    row = auto(tmp_path, linear, 0.0)
    assert row.status == "wrong"
    assert row.artefact
    assert sorted(attempt.rung for attempt in row.attempts) == sorted(
        [
            "int8-dynamic: one scale a tensor",
            "int8-dynamic: one scale a channel",
            "int8-dynamic: one scale a channel, matrix products only",
            "fp16: as asked",
            "int8-static: all operators, a scale a channel",
            "int8-static: heavy operators",
            "int8-static: heavy operators, worst tenth in fp32",
            "int8-static: heavy operators, worst third in fp32",
            "int8-static: heavy operators, percentile ranges",
        ]
    )
    recipes = [attempt.rung.partition(":")[0] for attempt in row.attempts]
    assert recipes.index("fp16") < recipes.index("int8-static")
