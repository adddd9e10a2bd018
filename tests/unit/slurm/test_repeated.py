"""Columns whose values repeat: they say the same as plain columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.slurm import repeated
from mlcost_hpc.slurm.repeated import Repeated, together

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.text(max_size=2)), max_size=30)


@given(ROWS)
def test_a_column_gives_back_its_rows(rows: list[tuple[str, int, str]]) -> None:
    """Its values in the rows' order are what it was made of, one by one and all together."""
    column = Repeated.of(rows)
    assert list(column) == rows
    assert [column[row] for row in range(len(column))] == rows
    assert len(set(column.values)) == len(column.values)


@pytest.mark.parametrize("largest", [2**62, 3])
@given(ROWS)
def test_columns_together_are_their_rows(largest: int, rows: list[tuple[str, int, str]]) -> None:
    """Each row has its own combination, each combination is there once, however many could be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeated, "_LARGEST", largest)
        columns = [Repeated.of([row[at] for row in rows]) for at in range(3)]
        combined = together(columns)
    assert list(combined) == rows
    assert len(set(combined.values)) == len(combined.values)


def test_only_some_rows_leave_no_value_of_the_others() -> None:
    """What occurs in no row any more is not looked up either."""
    column = Repeated.of(["a", "b", "a", "c"]).only(np.array([0, 3]))
    assert list(column) == ["a", "c"]
    assert sorted(column.values) == ["a", "c"]


def test_values_that_became_equal_are_put_together() -> None:
    """After a function gave two values the same answer there is one of it, in the same rows."""
    column = Repeated.of(["a", "B", "A", "b"]).map(str.lower)
    assert len(column.values) == 4
    assert column.distinct().values == ["a", "b"]
    assert list(column.distinct()) == ["a", "b", "a", "b"]


def test_numbers_of_values_stand_in_their_rows() -> None:
    """A number is worked out for each value and given to each of its rows."""
    assert Repeated.of(["aa", "b", "aa"]).numbers(len).tolist() == [2, 1, 2]
