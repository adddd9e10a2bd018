"""Arrays larger than the site allows."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.array import ArrayOrder, Part, part_of, split
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need

ORDER = ArrayOrder(command=("true",), tasks=2500, name="a", run_dir=Path("/r"), dependency="afterok:5")


@given(st.integers(1, 10_000), st.integers(1, 3000))
def test_parts_hold_every_task_once(tasks: int, largest: int) -> None:
    """Parts follow each other without gap or overlap, none larger than allowed, and no more than needed."""
    parts = split(tasks, largest)
    assert [number for part in parts for number in range(part.first, part.first + part.tasks)] == list(
        range(tasks)
    )
    assert max(part.tasks for part in parts) <= largest
    assert len(parts) == -(-tasks // largest)


def test_array_that_fits_is_left_alone() -> None:
    """One part is the order itself, in its own folder."""
    [part] = split(2500, 2500)
    assert part_of(ORDER, part) is ORDER


def test_part_counts_on_in_a_folder_of_its_own() -> None:
    """A part has its first number, its own folder, and what the whole array depends on."""
    one = part_of(ORDER, Part(first=1001, tasks=1001, after="17"))
    assert (one.first, one.tasks, one.run_dir) == (1001, 1001, Path("/r/from-1001"))
    assert one.dependency == "afterok:5"


@pytest.mark.parametrize(
    ("dependency", "expected"), [("", "afterany:17"), ("afterok:5", "afterok:5,afterany:17")]
)
def test_throttled_parts_wait_for_each_other(dependency: str, expected: str) -> None:
    """At most so many tasks at a time, over all parts: the next begins when the one before is done."""
    order = ArrayOrder(
        command=("true",), tasks=20, name="a", run_dir=Path("/r"), throttle=4, dependency=dependency
    )
    assert part_of(order, Part(first=10, tasks=10, after="17")).dependency == expected
    assert part_of(order, Part(first=0, tasks=10)).dependency == dependency


def scripts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("script-*"))]


def test_command_above_the_sites_limit_is_several_arrays(
    sbatch: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Each part has its own folder and record, and its tasks count on from the part before."""
    order = msgspec.structs.replace(ORDER, run_dir=tmp_path / "run")
    sent = launcher.submit_array(order, launcher.choose(Need(time_s=600)))
    assert [item.array_tasks for item in sent] == [1001, 1001, 498]
    assert [item.run_dir.name for item in sent] == ["from-0", "from-1001", "from-2002"]
    assert 'MLCOST_TASK_ID="$(( 2002 + SLURM_ARRAY_TASK_ID ))"' in scripts(sbatch)[2]
    assert all((item.run_dir / "submission.json").is_file() for item in sent)


def test_array_that_fits_is_one_call(sbatch: Path, launcher: Launcher, tmp_path: Path) -> None:
    """A thousand tasks where a thousand and one may be: one sbatch, one record, in the folder itself."""
    order = msgspec.structs.replace(ORDER, run_dir=tmp_path / "run", tasks=1000)
    [sent] = launcher.submit_array(order, launcher.choose(Need(time_s=600)))
    assert (sent.array_tasks, sent.run_dir) == (1000, tmp_path / "run")
    assert len(scripts(sbatch)) == 1


def test_no_tasks_are_a_usage_error(launcher: Launcher, tmp_path: Path) -> None:
    """Nothing to do is said before anything is sent."""
    order = msgspec.structs.replace(ORDER, run_dir=tmp_path, tasks=0)
    with pytest.raises(UsageError, match="at least one"):
        launcher.submit_array(order, launcher.choose(Need(time_s=600)))
