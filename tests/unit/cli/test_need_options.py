"""The options that say what a job needs, from the command line and from a file."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.cli.need_options import need_from, need_options
from mlcost_hpc.errors import ConfigError, UsageError
from mlcost_hpc.launch.need import GIB, Need


def parse(*words: str) -> Need:
    found: list[dict[str, Any]] = []

    @click.command()
    @need_options
    def command(**options: Any) -> None:
        found.append(options)

    command.main(list(words), standalone_mode=False)
    return need_from(found[0], load_catalog(), datetime(2026, 11, 25, tzinfo=UTC), ZoneInfo("UTC"))


def test_options_become_a_need() -> None:
    """Sizes without a letter are GiB for GPUs and MiB for main memory, as in sbatch."""
    need = parse("--gpus", "1-4", "--gpu-memory", "40", "--mem", "64G", "--time", "12h", "--no-preemptible")
    assert (need.gpus, need.gpus_max, need.gpu_memory) == (1, 4, 40 * GIB)
    assert (need.memory, need.time_s, need.preemptible) == (64 * GIB, 43200, False)


def test_a_file_gives_values_and_the_command_line_wins(tmp_path: Path) -> None:
    """A TOML file with the options' names is the default of each."""
    path = tmp_path / "need.toml"
    path.write_text(
        'gpus = 2\ngpu-type = ["h100", "a100"]\ntime = "12h"\nbudget = 12.5\n'
        'preemptible = false\nwork = "5h@v100"\n'
    )
    need = parse("--need", str(path), "--time", "1h")
    assert (need.gpus, need.gpu_types, need.time_s) == (2, ("h100", "a100"), 3600)
    assert (need.budget, need.preemptible) == (Decimal("12.5"), False)
    assert need.work is not None


def test_unknown_key_in_the_file_is_named(tmp_path: Path) -> None:
    """A key that is no option is refused with its name."""
    path = tmp_path / "need.toml"
    path.write_text("gpu = 2\n")
    with pytest.raises(ConfigError, match="gpu: there is no option --gpu"):
        parse("--need", str(path))


def test_unlimited_time_is_refused() -> None:
    """A job without a time limit would wait for ever."""
    with pytest.raises(UsageError, match="needs a time limit"):
        parse("--time", "UNLIMITED")
