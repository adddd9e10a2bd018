"""How fast a job is on each GPU."""

import msgspec
import pytest

from mlcost_hpc.catalog import Catalog
from mlcost_hpc.launch.speed import Measurement, Speed, parallel_speedup, peak_speed, speed_on

V100 = Measurement(gpu_model="v100", gpus=1, per_second=10.0, job="mine")


def speed(catalog: Catalog, model: str, gpus: int = 1, **known: list[Measurement]) -> Speed | None:
    own, others = known.get("own", [V100]), known.get("others", [])
    return speed_on(model, gpus, own=own, others=others, catalog=catalog, scaling=0.9)


def ratio(job: str, factor: float, program: str = "") -> list[Measurement]:
    return [
        Measurement(gpu_model="v100", gpus=1, per_second=7, job=job, program=program),
        Measurement(gpu_model="h100", gpus=1, per_second=7 * factor, job=job, program=program),
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


def test_other_programs_say_how_much_faster_a_gpu_is(catalog: Catalog) -> None:
    """The more programs gained little, the less the peak figures are believed."""
    peak, few, many = (
        speed(catalog, "h100", others=[item for number in range(count) for item in ratio(f"j{number}", 2)])
        for count in (0, 2, 20)
    )
    assert peak is not None
    assert few is not None
    assert many is not None
    assert peak.per_second > few.per_second > many.per_second == pytest.approx(20, rel=0.1)
    assert peak.high / peak.low > few.high / few.low > many.high / many.low
    assert (many.source, many.basis) == ("scaled", "scaled from v100 by peak figures and 20 other programs")


def test_variants_of_the_program_outweigh_all_others(catalog: Catalog) -> None:
    """Two runs of the same program with other arguments count for more than twenty other programs."""
    mine = msgspec.structs.replace(V100, program="train.py")
    strangers = [item for number in range(20) for item in ratio(f"j{number}", 6)]
    variants = [*ratio("a", 2, "train.py"), *ratio("b", 2, "train.py")]
    found = speed(catalog, "h100", own=[mine], others=[*strangers, *variants])
    assert found is not None
    assert found.per_second < 10 * (2 * 6) ** 0.5
    assert "2 variants of this program and peak figures" in found.basis


def test_one_much_measured_program_counts_once(catalog: Catalog) -> None:
    """A program that somebody measured fifty times says no more about another one than if measured once."""
    often = [item for number in range(50) for item in ratio(f"j{number}", 2, "theirs")]
    once = ratio("j", 2, "theirs")
    found = [speed(catalog, "h100", others=others) for others in (often, once)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].per_second == pytest.approx(found[1].per_second)


def test_jobs_that_gain_alike_count_more(catalog: Catalog) -> None:
    """Where this job gained little from one new GPU, the jobs that gained little too are believed."""
    own = [V100, Measurement(gpu_model="a100-40gb", gpus=1, per_second=11.0, job="mine")]

    def other(job: str, a100: float, h100: float) -> list[Measurement]:
        on = {"v100": 5.0, "a100-40gb": 5.0 * a100, "h100": 5.0 * h100}
        return [Measurement(gpu_model=gpu, gpus=1, per_second=fast, job=job) for gpu, fast in on.items()]

    others = [item for number in range(9) for item in other(f"slow{number}", 1.1, 1.2)]
    others += [item for number in range(9) for item in other(f"fast{number}", 3.0, 6.0)]
    found = speed(catalog, "h100", own=own, others=others)
    assert found is not None
    assert found.per_second == pytest.approx(12, rel=0.25)


def test_catalogue_scales_where_nothing_else_does(catalog: Catalog) -> None:
    """Without other jobs the peak figures scale, with a wide interval."""
    found = speed(catalog, "h100")
    assert found is not None
    assert 20 < found.per_second < 80
    assert found.high / found.low > 4
    assert found.basis == "scaled from v100 by peak figures"


def test_unknown_gpu_has_no_speed(catalog: Catalog) -> None:
    """A GPU that is not in the catalogue and was never measured stays unknown."""
    assert speed(catalog, "gizmo") is None
    assert speed(catalog, "h100", own=[]) is None


def test_unknown_gpu_is_scaled_as_others_were(catalog: Catalog) -> None:
    """What other programs gained on a GPU that is not in the catalogue is enough to scale by."""
    others = [msgspec.structs.replace(item, gpu_model={"h100": "gizmo"}.get(item.gpu_model, "v100"))
              for item in ratio("a", 3)]  # fmt: skip
    found = speed(catalog, "gizmo", others=others)
    assert found is not None
    assert found.per_second == pytest.approx(30)


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
