"""How fast a job is on each GPU."""

import pytest

from mlcost_hpc.catalog import Catalog
from mlcost_hpc.launch.speed import Measurement, Speed, parallel_speedup, peak_speed, speed_on

V100 = Measurement(gpu_model="v100", gpus=1, per_second=10.0, job="mine")


def speed(catalog: Catalog, model: str, gpus: int = 1, **known: list[Measurement]) -> Speed | None:
    own, others = known.get("own", [V100]), known.get("others", [])
    return speed_on(model, gpus, own=own, others=others, catalog=catalog, scaling=0.9)


def ratio(job: str, factor: float) -> list[Measurement]:
    return [
        Measurement(gpu_model="v100", gpus=1, per_second=7, job=job),
        Measurement(gpu_model="h100", gpus=1, per_second=7 * factor, job=job),
    ]


def test_own_measurement_comes_first(catalog: Catalog) -> None:
    """What was measured on this very GPU is taken as it is, with a narrow interval."""
    found = speed(catalog, "v100")
    assert found is not None
    assert (found.per_second, found.source) == (10.0, "history")
    assert found.high / found.low < 1.3


def test_real_runs_win_over_calibration(catalog: Catalog) -> None:
    """A long run says more than a short one."""
    short = Measurement(gpu_model="v100", gpus=1, per_second=12, job="mine", source="calibration")
    found = speed(catalog, "v100", own=[short, V100])
    assert found is not None
    assert found.per_second == 10.0


def test_other_jobs_say_how_much_faster_a_gpu_is(catalog: Catalog) -> None:
    """With three other jobs measured on both GPUs, their median ratio scales this one."""
    others = [*ratio("a", 3), *ratio("b", 4), *ratio("c", 5)]
    found = speed(catalog, "h100", others=others)
    assert found is not None
    assert (found.per_second, found.source) == (pytest.approx(40), "scaled")
    assert "3 other jobs" in found.basis


def test_catalogue_scales_where_nothing_else_does(catalog: Catalog) -> None:
    """Without other jobs the peak figures scale, with a wide interval."""
    found = speed(catalog, "h100")
    assert found is not None
    assert 20 < found.per_second < 80
    assert found.high / found.low > 4
    assert "peak figures" in found.basis


def test_unknown_gpu_has_no_speed(catalog: Catalog) -> None:
    """A GPU that is not in the catalogue and was never measured stays unknown."""
    assert speed(catalog, "gizmo") is None
    assert speed(catalog, "h100", own=[]) is None


def test_more_gpus_scale_with_the_given_yield(catalog: Catalog) -> None:
    """Each doubling yields 1.8 at a scaling of 0.9."""
    found = speed(catalog, "v100", gpus=4)
    assert found is not None
    assert found.per_second == pytest.approx(10 * 1.8**2)
    assert parallel_speedup(1, 0.9) == 1
    assert parallel_speedup(8, 1.0) == pytest.approx(8)


def test_flop_per_second_is_a_third_of_the_peak(catalog: Catalog) -> None:
    """The last resort is peak arithmetic at usual utilisation."""
    assert peak_speed(catalog.models["h100"], 1, 0.9).per_second == pytest.approx(989e12 * 0.35)
