"""Records of submissions: what a job is known by, and forms of other versions."""

from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.errors import MlcostError, UsageError
from mlcost_hpc.launch.record import (
    FILE,
    VERSION,
    fingerprint,
    is_first_time,
    program_fingerprint,
    read_submission,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two programs."""
    for name in ("train.py", "other.py"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("python train.py --batch 16", "python train.py --batch 64 data.csv", True),
        ("python train.py", "python other.py", False),
        ("python -m pkg.train --lr 1", "python -m pkg.train --lr 2", True),
        ("python -m pkg.train", "python -m pkg.test", False),
        ("pkg:train", "pkg:test", False),
        ("trainer --lr 1", "trainer --lr 2", True),
    ],
)
def test_arguments_do_not_make_another_program(folder: Path, one: str, other: str, same: bool) -> None:
    """Runs of one program with other arguments are told apart as jobs and known as one program."""
    jobs = [fingerprint(words.split(), folder) for words in (one, other)]
    programs = [program_fingerprint(words.split(), folder) for words in (one, other)]
    assert jobs[0] != jobs[1]
    assert (programs[0] == programs[1]) is same


def test_same_program_of_another_folder_is_another(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """train.py of one folder says nothing about train.py of another."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "train.py").touch()
    words = ["python", "train.py"]
    assert program_fingerprint(words, folder) != program_fingerprint(words, elsewhere)


@pytest.mark.parametrize(("version", "age"), [(None, "an earlier"), (VERSION + 1, "a later")])
def test_record_of_another_version_is_told_in_one_line(tmp_path: Path, version: int | None, age: str) -> None:
    """A record of another form is named as such, not as damaged."""
    written = {} if version is None else {"version": version}
    (tmp_path / FILE).write_bytes(msgspec.json.encode(written))
    with pytest.raises(MlcostError, match=f"written by {age} version of mlcost") as caught:
        read_submission(tmp_path)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UsageError)


def test_damaged_record_is_told_with_its_path(tmp_path: Path) -> None:
    """A record cut short is an error that names the file."""
    (tmp_path / FILE).write_text('{"version": 2, "job_')
    with pytest.raises(MlcostError, match=r"submission\.json cannot be read"):
        read_submission(tmp_path)


def test_what_was_told_is_not_told_again(tmp_path: Path) -> None:
    """A question to the user is asked once; where that cannot be kept, it is asked again."""
    environ = {"MLCOST_STATE": str(tmp_path / "state")}
    assert [is_first_time("no-rates", environ) for _ in range(2)] == [True, False]
    assert is_first_time("another", environ)
    (tmp_path / "file").touch()
    nowhere = {"MLCOST_STATE": str(tmp_path / "file" / "state")}
    assert [is_first_time("no-rates", nowhere) for _ in range(2)] == [True, True]
