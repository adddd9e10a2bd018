"""GPU counters through NVML, against a stub of the driver's library."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.gpu.sampler import Sample

READ_ONCE = """
import sys
import msgspec
from mlcost_hpc.errors import MlcostError
from mlcost_hpc.gpu.sampler import open_gpus
try:
    with open_gpus() as sample:
        print(msgspec.json.encode(sample(1000.0)).decode())
except MlcostError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("nvml_stub.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return folder


def read(library_path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LD_LIBRARY_PATH": str(library_path)}
    return subprocess.run(
        [sys.executable, "-c", READ_ONCE], env=env, capture_output=True, text=True, check=False
    )


def test_every_gpu_is_read_once(driver: Path) -> None:
    """One sample a GPU, with the driver's figures in our units."""
    first, _ = msgspec.json.decode(read(driver).stdout, type=list[Sample])
    assert first == Sample(
        time=1000.0,
        gpu="GPU-0",
        name="NVIDIA T4",
        busy_percent=35.0,
        memory_used=4 * 1024**3,
        memory_total=16 * 1024**3,
        power_w=50.5,
    )


def test_a_counter_that_is_not_offered_is_unknown_not_zero(driver: Path) -> None:
    """A slice without utilisation is not an idle GPU."""
    _, second = msgspec.json.decode(read(driver).stdout, type=list[Sample])
    assert (second.busy_percent, second.power_w) == (None, None)
    assert second.memory_used == 4 * 1024**3


def test_without_a_driver_one_line_says_so(tmp_path: Path) -> None:
    """A node without an NVIDIA driver is an error for a person, not a traceback."""
    done = read(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("GPU counters cannot be read here: ")
    assert done.stderr.count("\n") == 1
