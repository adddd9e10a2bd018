"""The verdict on a candidate."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.compress.judge import judge
from mlcost_hpc.compress.plan import Limits
from mlcost_hpc.compress.records import Latency, Score, Spread, Status


def latency(before: float, after: float, batch: int = 32) -> Latency:
    def spread(value: float) -> Spread:
        return Spread(p10=value, p50=value, p90=value, calls=9)

    return Latency(batch=batch, before=spread(before), after=spread(after), speedup=before / after)


def score(before: float | None = 0.99, after: float | None = 0.99, **fields: float | None) -> Score:
    defaults = {"relative_error": 0.01, "largest_difference": 0.1, "agreement": 1.0}
    return Score(
        metric="accuracy", before=before, after=after, samples=100, data="d", **{**defaults, **fields}
    )


def verdict(
    size_after: int = 250, found: Score | None = None, speeds: tuple[Latency, ...] = (latency(2, 1),)
) -> tuple[Status, str]:
    return judge(
        Limits(), size_before=1000, size_after=size_after, changed={}, score=found or score(), latency=speeds
    )


def test_smaller_faster_and_right_is_ok() -> None:
    """A candidate within all limits is ok, with its figures as the reason."""
    status, reason = verdict()
    assert status == "ok"
    assert "4.00x smaller, x2.00 at batch 32" in reason


def test_a_file_of_the_same_size_is_a_no_op_even_when_it_is_right_and_fast() -> None:
    """A tool's success message means nothing when the file did not shrink by 2 %."""
    assert verdict(size_after=985)[0] == "no-op"
    assert verdict(size_after=975)[0] == "ok"


def test_lost_accuracy_is_wrong_however_small_and_fast_the_file_is() -> None:
    """More than the allowed loss is wrong, and the reason names both values."""
    status, reason = verdict(found=score(0.99, 0.97))
    assert status == "wrong"
    assert "99.00 % -> 97.00 %: lost 2.00 points" in reason


def test_a_gain_in_accuracy_is_no_loss() -> None:
    """A candidate that is better than the original is ok."""
    assert verdict(found=score(0.90, 0.95))[0] == "ok"


def test_without_labels_agreement_decides_then_closeness() -> None:
    """Where there is no metric, other classes or outputs far off make a candidate wrong."""
    assert verdict(found=score(None, None, agreement=0.95))[0] == "wrong"
    far = Score(metric="closeness", relative_error=0.4, largest_difference=1, samples=1, data="random inputs")
    assert verdict(found=far)[0] == "wrong"


def test_nan_is_wrong_even_with_good_accuracy() -> None:
    """Outputs that are no numbers are never ok."""
    assert verdict(found=score(relative_error=None))[0] == "wrong"
    assert verdict(found=score(1.0, math.nan))[0] == "wrong"


def test_slower_at_any_asked_batch_size_is_slower() -> None:
    """Fast at batch 32 does not make up for slow at batch 1."""
    status, reason = verdict(speeds=(latency(1, 2, batch=1), latency(2, 1)))
    assert status == "slower"
    assert "x0.50 the speed of the original at batch 1, x2.00 at batch 32" in reason


def test_a_difference_within_measurement_noise_is_not_slower() -> None:
    """Medians repeat to about 3 %, so x0.98 is not called slower and x0.95 is."""
    assert verdict(speeds=(latency(0.98, 1),))[0] == "ok"
    assert verdict(speeds=(latency(0.95, 1),))[0] == "slower"


@given(
    st.integers(1, 2000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.1, 10),
)
def test_ok_means_within_every_limit(size_after: int, before: float, after: float, speed: float) -> None:
    """Whatever is measured, ok is never said of a file that is larger, wrong or clearly slower."""
    limits = Limits()
    status, reason = verdict(size_after, score(before, after), (latency(speed, 1),))
    assert reason
    if status == "ok":
        assert 1000 / size_after >= limits.min_shrink
        assert before - after <= limits.max_loss
        assert speed >= 0.97 * limits.min_speedup
