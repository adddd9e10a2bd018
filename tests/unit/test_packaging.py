"""What the wheel holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    [wheel] = out.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheels_top_level_names_are_the_two_packages(wheel_names: list[str]) -> None:
    """An installed mlcost-hpc takes no other import name."""
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mlcost_hpc", "mlcost_accounting"}


def test_the_wheel_holds_templates_and_data(wheel_names: list[str]) -> None:
    """Templates, the catalogue and the typing markers are in the wheel."""
    assert any(name.startswith("mlcost_hpc/sbatch_templates/") for name in wheel_names)
    for needed in ("mlcost_hpc/catalog.toml", "mlcost_hpc/py.typed", "mlcost_accounting/py.typed"):
        assert needed in wheel_names
