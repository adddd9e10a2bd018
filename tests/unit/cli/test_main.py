"""The command as a person types it."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlcost_hpc.cli.main import COMMANDS, cli


def mlcost(*args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlcost_hpc.cli.main", *args],
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_help_lists_every_command_without_loading_one() -> None:
    """`mlcost --help` shows all commands and imports none of the heavy packages."""
    code = (
        "import sys\n"
        "from mlcost_hpc.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'rich', 'submitit', 'sqlite_utils'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert [name for name in COMMANDS if f"  {name} " not in done.stdout] == []


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_loads_and_has_help(name: str) -> None:
    """Each entry of the table is importable and says what it does."""
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help


def test_an_unknown_command_is_wrong_usage() -> None:
    """A typing error is exit code 2 and one clear line."""
    code, _, err = mlcost("offer")
    assert code == 2
    assert "No such command 'offer'" in err


def test_a_wrong_settings_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """Errors are one line on stderr, never a traceback."""
    (tmp_path / "bad.toml").write_text("[slurm]\nbackend = 1\n")
    code, out, err = mlcost("--config", str(tmp_path / "bad.toml"), "offers")
    assert (code, out) == (2, "")
    assert err.startswith("mlcost: ")
    assert err.count("\n") == 1


def test_without_slurm_a_command_says_what_is_missing(tmp_path: Path) -> None:
    """No Slurm on PATH is exit code 1 and names the program."""
    rates = tmp_path / "rates.toml"
    rates.write_text("currency = 'USD'\n[[card]]\nvalid_from = 2026-01-01\n")
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    code, out, err = mlcost("offers", "--rates", str(rates), env=env, cwd=tmp_path)
    assert (code, out) == (1, "")
    assert "is not on PATH" in err
    assert "Traceback" not in err
