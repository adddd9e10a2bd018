"""Rows with separators and texts that try to break them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.slurm.api import Reject
from mlcost_hpc.slurm.rows import split_rows


def rows(text: str, width: int = 3) -> list[list[str] | Reject]:
    return list(split_rows(text, "|", width))


def test_a_new_line_in_a_field_does_not_end_the_row() -> None:
    """A row ends where its fields are complete."""
    assert rows("1|my\njob|c\n2|other|c\n") == [["1", "my\njob", "c"], ["2", "other", "c"]]


def test_a_banner_is_rejected_alone() -> None:
    """Lines before the first row do not swallow it."""
    banner, row = rows("Welcome to the login node\n1|a|c\n")
    assert isinstance(banner, Reject)
    assert row == ["1", "a", "c"]


def test_too_many_fields_are_rejected_and_the_next_row_is_read() -> None:
    """One bad row costs one row."""
    bad, good = rows("1|a|b|c\n2|a|c\n")
    assert bad == Reject(text="1|a|b|c", why="4 fields, 3 expected")
    assert good == ["2", "a", "c"]


def test_a_row_begun_at_the_end_is_rejected() -> None:
    """What is left over is kept for a person to see."""
    assert rows("1|a|c\n2|a") == [["1", "a", "c"], Reject(text="2|a", why="ends after 2 of 3 fields")]


def test_other_line_ends_do_not_split() -> None:
    """Only a line feed ends a line: carriage returns and Unicode's separators are ordinary text."""
    assert rows("1|a\rb\u2028c\x1cd\x85e|c\n") == [["1", "a\rb\u2028c\x1cd\x85e", "c"]]


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[0-9]{1,9}", fullmatch=True),
            st.text(st.characters(exclude_characters="|")),
            st.just("alpha"),
        )
    )
)
def test_any_text_without_the_separator_survives(table: list[tuple[str, str, str]]) -> None:
    """Whatever a job is called, each row comes back as it was."""
    text = "".join("|".join(row) + "\n" for row in table)
    assert rows(text) == [list(row) for row in table]
