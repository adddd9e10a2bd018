"""Durations, memory and TRES lists."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import UnitError
from mlcost_hpc.units import (
    format_duration,
    format_memory,
    parse_elapsed,
    parse_memory,
    parse_time_limit,
    parse_tres,
)

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * MINUTE),
        ("10:30", 10 * MINUTE + 30),
        ("12:00:00", 12 * HOUR),
        ("1-0", DAY),
        ("1-06:30", DAY + 6 * HOUR + 30 * MINUTE),
        ("2-00:00:05", 2 * DAY + 5),
        ("451-06:00:24", 451 * DAY + 6 * HOUR + 24),
        ("90s", 90),
        ("30m", 30 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("2d", 2 * DAY),
        ("1w", 7 * DAY),
    ],
)
def test_time_limits_in_slurm_and_human_form(text: str, seconds: int) -> None:
    """Both Slurm's forms and a person's letters are understood."""
    assert parse_time_limit(text) == seconds


@pytest.mark.parametrize("text", ["UNLIMITED", "infinite", "NONE"])
def test_no_time_limit_is_none(text: str) -> None:
    """Slurm's words for "no limit" are no number of seconds."""
    assert parse_time_limit(text) is None


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "5x", "1h30", "-5", "12:00:00.5", "Partition_Limit"])
def test_other_time_limits_are_refused(text: str) -> None:
    """What is no time limit is an error that quotes it."""
    with pytest.raises(UnitError, match="is not a time limit"):
        parse_time_limit(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("05:03.123", 303), ("01:05:03", 3903), ("3-00:00:00", 3 * DAY), ("00:00:00", 0)],
)
def test_elapsed_as_slurm_prints_it(text: str, seconds: int) -> None:
    """Fractions of a second are dropped, as in Slurm's own sums."""
    assert parse_elapsed(text) == seconds


@pytest.mark.parametrize("text", ["INVALID", "", "90", "UNLIMITED", "1-0"])
def test_other_durations_are_refused(text: str) -> None:
    """A negative duration (INVALID) is not taken for zero."""
    with pytest.raises(UnitError):
        parse_elapsed(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_durations_survive_a_round_trip(seconds: int) -> None:
    """What is written as a duration is read back as the same number of seconds."""
    text = format_duration(seconds)
    assert parse_elapsed(text) == seconds
    assert parse_time_limit(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512 * 1024**2),
        ("4000M", 4000 * 1024**2),
        ("64G", 64 * 1024**3),
        ("1.50G", 1536 * 1024**2),
        ("2T", 2 * 1024**4),
        ("1P", 1024**5),
        ("1E", 1024**6),
        ("112488K", 112488 * 1024),
        ("80GiB", 80 * 1024**3),
        ("80 GB", 80 * 1024**3),
    ],
)
def test_memory_letters_are_binary(text: str, size: int) -> None:
    """Every letter from K to E means the binary unit."""
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "64Q", "-1G", "2147486648Mn", "many"])
def test_other_amounts_of_memory_are_refused(text: str) -> None:
    """What is no amount of memory is an error."""
    with pytest.raises(UnitError, match="is not an amount of memory"):
        parse_memory(text)


@given(st.integers(min_value=1, max_value=2**20), st.sampled_from("KMGTPE"))
def test_whole_amounts_of_memory_survive_a_round_trip(number: int, letter: str) -> None:
    """Whole multiples of a unit are written exactly enough to be read back to a hundredth."""
    size = parse_memory(f"{number}{letter}")
    back = parse_memory(format_memory(size))
    assert abs(back - size) <= size / 100
    assert parse_memory(f"{Decimal(number)}{letter}") == size


@pytest.mark.parametrize(
    ("text", "gpus", "types"),
    [
        ("billing=8,cpu=8,gres/gpu=2,mem=64G,node=1", 2, {}),
        ("gres/gpu:a100=2,gres/gpu=2", 2, {"a100": 2}),
        ("gres/gpu:a100=2,gres/gpu:v100=1,gres/gpu=3", 3, {"a100": 2, "v100": 1}),
        ("cpu=1,gres/gpu:tesla=4", 4, {"tesla": 4}),
        ("gres/gpu:1g.10gb=2", 2, {"1g.10gb": 2}),
        ("gres/gpu:a100=1,gres/gpu=3", 3, {"a100": 1}),
        ("cpu=1,gres/gpumem=4G,gres/gpuutil=100", 0, {}),
        ("", 0, {}),
    ],
)
def test_gpus_are_counted_once(text: str, gpus: int, types: dict[str, int]) -> None:
    """Typed GPUs are part of the untyped count, and keys match exactly."""
    tres = parse_tres(text)
    assert (tres.gpus, dict(tres.gpu_types)) == (gpus, types)


def test_untyped_gpus_are_the_rest() -> None:
    """GPUs that no type accounts for are known to be untyped."""
    assert parse_tres("gres/gpu=3,gres/gpu:a100=1").untyped_gpus == 2


def test_everything_else_is_kept_as_text() -> None:
    """Entries that we do not use are not lost."""
    tres = parse_tres("cpu=4,mem=1.50G,node=2,billing=12,license/matlab=1,energy=55")
    assert (tres.cpus, tres.memory, tres.nodes, tres.billing) == (4, 1536 * 1024**2, 2, 12)
    assert tres.other == {"license/matlab": "1", "energy": "55"}


def test_a_missing_billing_is_not_zero() -> None:
    """Old rows have no billing figure; that is not a bill of nothing."""
    assert parse_tres("cpu=1").billing is None


@pytest.mark.parametrize("text", ["cpu", "cpu=four", "cpu=4,,node=", "gres/gpu=NaN"])
def test_broken_tres_lists_are_refused(text: str) -> None:
    """A list that cannot be read is an error and not an empty list."""
    with pytest.raises(UnitError):
        parse_tres(text)


@given(
    st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9.\-]{0,12}", fullmatch=True), st.integers(1, 10**6)),
    st.integers(0, 10**7),
    st.randoms(),
)
def test_the_order_of_a_tres_list_does_not_matter(types: dict[str, int], cpus: int, random) -> None:  # type: ignore[no-untyped-def]
    """Any order of the entries is the same record."""
    entries = [f"cpu={cpus}", f"gres/gpu={sum(types.values())}"]
    entries += [f"gres/gpu:{name}={count}" for name, count in types.items()]
    ordered = parse_tres(",".join(entries))
    random.shuffle(entries)
    assert parse_tres(",".join(entries)) == ordered
    assert ordered.gpus == sum(types.values())
