"""How many tasks a list for ``sbatch --array`` names."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import UnitError
from mlcost_hpc.slurm.array_spec import count_tasks


@pytest.mark.parametrize(
    ("text", "tasks"),
    [("0-99", 100), ("0-99%10", 100), ("7", 1), ("1,3,5-7", 5), ("0-15:4", 4), ("0-3,2-5", 6), ("0", 1)],
)
def test_lists_are_counted(text: str, tasks: int) -> None:
    """Ranges, steps and single indices; a throttle changes nothing, an index counts once."""
    assert count_tasks(text) == tasks


@pytest.mark.parametrize("text", ["", "a", "5-1", "0-9:0", "-3", "1-", "0-99999999999", "1;2"])
def test_other_texts_are_refused(text: str) -> None:
    """A text that sbatch would refuse is no list, and a huge range costs no memory."""
    with pytest.raises(UnitError, match="no list of array tasks"):
        count_tasks(text)
