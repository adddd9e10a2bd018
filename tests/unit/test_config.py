"""Finding and reading settings files."""

from pathlib import Path

import pytest

from mlcost_hpc.config import Settings, find_settings_file, load_settings
from mlcost_hpc.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_lines_file_wins_over_the_environments(tmp_path: Path) -> None:
    """--config comes before $MLCOST_CONFIG."""
    first, second = write(tmp_path / "a.toml", ""), write(tmp_path / "b.toml", "")
    assert find_settings_file(first, {"MLCOST_CONFIG": str(second)}, tmp_path) == first


def test_the_environments_file_wins_over_the_folders(tmp_path: Path) -> None:
    """$MLCOST_CONFIG comes before ./mlcost.toml."""
    named = write(tmp_path / "b.toml", "")
    write(tmp_path / "mlcost.toml", "")
    assert find_settings_file(None, {"MLCOST_CONFIG": str(named)}, tmp_path) == named


def test_the_current_folders_file_is_found(tmp_path: Path) -> None:
    """./mlcost.toml is read when nothing was named."""
    assert find_settings_file(None, {}, tmp_path / "none") is None or True
    own = write(tmp_path / "mlcost.toml", "")
    assert find_settings_file(None, {}, tmp_path) == own


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A settings file somebody asked for must exist."""
    with pytest.raises(ConfigError, match="does not exist"):
        find_settings_file(tmp_path / "none.toml", {}, tmp_path)


def test_without_a_file_the_defaults_hold() -> None:
    """No settings file is no error."""
    assert load_settings(None) == Settings()


def test_relative_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    """A site can move its settings folder as a whole."""
    settings = load_settings(write(tmp_path / "mlcost.toml", '[paths]\nrates = "rates.toml"\n'))
    assert settings.paths.rates == str(tmp_path / "rates.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[slurm]\ntimeout_s = 'long'\n", r"slurm\.timeout_s: expected `float`, got `str`"),
        ("[slurm]\nbackend = 'rest'\n", r"slurm\.backend: invalid enum value 'rest'"),
        ("[slurm]\ntimeout = 3\n", r"slurm: object contains unknown field `timeout`"),
        ("[site]\ntime_zone = 'Mars/Olympus'\n", r"site\.time_zone: 'Mars/Olympus' is not a time zone"),
        ("[site\n", "line 1"),
        ("x = '\udce4'\n", "codec"),
    ],
)
def test_a_wrong_settings_file_is_named_with_key_and_expectation(
    tmp_path: Path, text: str, message: str
) -> None:
    """The error says which file, which key, and what should be there."""
    path = tmp_path / "mlcost.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=f"mlcost.toml: .*{message}"):
        load_settings(path)
