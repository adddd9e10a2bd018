"""Single values: moments, counts and Slurm's words for "none"."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import UnitError
from mlcost_hpc.slurm.values import NOTHING, parse_count, parse_limit, parse_moment, parse_names


@pytest.mark.parametrize(
    ("text", "seconds"), [("1795587389", 1795587389), ("2026-11-25T06:16:29", 1795587389)]
)
def test_moments_in_seconds_and_in_utc_text(text: str, seconds: int) -> None:
    """Epoch seconds and Slurm's default form with TZ=UTC are the same moment."""
    assert parse_moment(text) == seconds


@pytest.mark.parametrize("text", [*sorted(NOTHING), "0", "4294967294", "4294967295"])
def test_no_moment_is_none(text: str) -> None:
    """Unknown, None, zero and Slurm's sentinel numbers are no time."""
    assert parse_moment(text) is None


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00", "1795587389.5", "####"])
def test_other_moments_are_refused(text: str) -> None:
    """What is no time is an error, because charges depend on it."""
    with pytest.raises(UnitError, match="is not a time"):
        parse_moment(text)


@pytest.mark.parametrize("text", ["4294967294", "4294967295", "18446744073709551614", "UNLIMITED", "N/A"])
def test_sentinel_numbers_are_none(text: str) -> None:
    """Slurm's "no value" and "infinite" are no numbers."""
    assert parse_count(text) is None


@pytest.mark.parametrize("text", ["four", "1.5", "٣", "²", "0x10"])
def test_other_counts_are_refused(text: str) -> None:
    """Only plain decimal digits are a number."""
    with pytest.raises(UnitError, match="is not a number"):
        parse_count(text)


@pytest.mark.parametrize("text", ["Partition_Limit", "NOT_SET", "INVALID", "UNLIMITED"])
def test_unreadable_limits_are_no_limit_of_the_job(text: str) -> None:
    """Words in place of a limit never break a reading."""
    assert parse_limit(text) is None


def test_names_of_a_list() -> None:
    """Empty entries are no names."""
    assert parse_names("a,b,,c") == ("a", "b", "c")
    assert parse_names("(null)") == ()
