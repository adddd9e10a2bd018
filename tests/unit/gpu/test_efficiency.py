"""What GPU samples say about waste."""

import pytest

from mlcost_hpc.gpu.efficiency import advice, use_by_gpu
from mlcost_hpc.gpu.sampler import Sample

GIB = 1024**3


def sample(time: float, busy: float | None, used: int | None = 4 * GIB, gpu: str = "GPU-0") -> Sample:
    return Sample(
        time=time,
        gpu=gpu,
        name="NVIDIA H100",
        busy_percent=busy,
        memory_used=used,
        memory_total=None if used is None else 80 * GIB,
        power_w=None if busy is None else 100 + busy,
    )


def test_means_and_peaks_are_taken_per_gpu() -> None:
    """Two GPUs are two lines, each with its own mean, peak and energy."""
    first, second = use_by_gpu(
        [sample(0, 50), sample(0, 90, gpu="GPU-1"), sample(3600, 70, 9 * GIB), sample(3600, 90, gpu="GPU-1")]
    )
    assert (first.busy_percent, first.peak_memory, first.seconds) == (60, 9 * GIB, 3600)
    assert first.energy_wh == pytest.approx(160)
    assert second.busy_percent == 90


def test_what_was_not_measured_stays_unknown_and_draws_no_advice() -> None:
    """Nobody is told to use the GPU better on the ground of missing data."""
    [use] = use_by_gpu([sample(0, None, None), sample(60, None, None)])
    assert (use.busy_percent, use.idle_percent, use.peak_memory, use.energy_wh) == (None, None, None, None)
    assert advice(use, {"t4": 16}) == ()


def test_a_badly_used_gpu_is_told_the_target() -> None:
    """Below 70 % the sentence names figure and target."""
    [use] = use_by_gpu([sample(0, 40), sample(60, 40)])
    assert advice(use, {})[0].startswith("busy 40 %, target 70 %")


def test_an_idle_gpu_is_told_to_ask_for_fewer() -> None:
    """A GPU that mostly did nothing was one too many."""
    [use] = use_by_gpu([sample(0, 0), sample(60, 0), sample(120, 100)])
    assert "ask for fewer GPUs" in advice(use, {})[0]


def test_the_smallest_gpu_that_holds_the_peak_is_named() -> None:
    """4 GiB with a fifth to spare fits 16 GiB; 14 GiB do not, and need the next larger one."""
    models = {"t4": 16, "a100-40gb": 40, "h100": 80}
    [small] = use_by_gpu([sample(0, 99)])
    [large] = use_by_gpu([sample(0, 99, 14 * GIB)])
    assert advice(small, models) == ("peak memory 4.0 GiB would fit t4",)
    assert advice(large, models) == ("peak memory 14.0 GiB would fit a100-40gb",)


def test_a_gpu_of_the_right_size_draws_no_advice() -> None:
    """Nothing is said when the model used is already the smallest that fits."""
    [use] = use_by_gpu([sample(0, 99, 60 * GIB)])
    assert advice(use, {"t4": 16, "h100": 80}) == ()
