"""Node lists in Slurm's short form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.hostlist import expand_hostlist


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a100-[1-3,7]", ("a100-1", "a100-2", "a100-3", "a100-7")),
        ("login", ("login",)),
        ("a,b[1-2],c", ("a", "b1", "b2", "c")),
        ("n[08-11]", ("n08", "n09", "n10", "n11")),
        ("cpn-f13-03-[01-02],cpn-f13-04-01", ("cpn-f13-03-01", "cpn-f13-03-02", "cpn-f13-04-01")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("x[1,3]-ib", ("x1-ib", "x3-ib")),
        ("(null)", ()),
        ("None assigned", ()),
        ("", ()),
    ],
)
def test_short_forms_are_expanded(text: str, names: tuple[str, ...]) -> None:
    """Ranges, lists, leading zeros and several brackets give the names in order."""
    assert expand_hostlist(text) == names


@pytest.mark.parametrize("text", ["a[1-3", "a1-3]", "a[[1]]", "a[x-y]", "a[1-]"])
def test_broken_lists_are_refused(text: str) -> None:
    """A list that cannot be expanded is an error that quotes it."""
    with pytest.raises(SlurmAnswerError):
        expand_hostlist(text)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 4))
def test_a_range_has_all_its_numbers(first: int, length: int, width: int) -> None:
    """A range stands for every number from its first to its last."""
    begin = str(first).zfill(width)
    names = expand_hostlist(f"n[{begin}-{first + length}]")
    assert len(names) == length + 1
    assert names[0] == f"n{begin}"
    assert [int(name[1:]) for name in names] == list(range(first, first + length + 1))
