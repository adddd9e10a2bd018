"""How good answers are."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlcost_hpc.compress.evaluate import MetricError, accuracy, agreement, closeness, load_function, score
from mlcost_hpc.compress.feeds import Feeds
from mlcost_hpc.compress.records import Score
from mlcost_hpc.errors import CompressError

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)


def feeds(labels: list[int] | None = None) -> Feeds:
    return Feeds(
        name="d.npz",
        arrays={"x": np.zeros((4, 1))},
        labels=None if labels is None else np.array(labels),
        batched=True,
        extra={},
    )


def test_accuracy_and_agreement_by_hand() -> None:
    """Classes 1, 0, 1, 0: three of four labels are right; one class of the other scores differs."""
    other = SCORES.copy()
    other[3] = (0.4, 0.6)
    assert accuracy([SCORES], np.array([1, 0, 1, 1])) == 0.75
    assert agreement([SCORES], [other], 4) == 0.75
    assert agreement([SCORES[:, :1]], [SCORES[:, :1]], 4) is None


def test_closeness_by_hand() -> None:
    """The norm of the difference over the norm of the original, and the largest difference."""
    relative, largest = closeness([np.array([3.0, 4.0])], [np.array([3.0, 4.5])])
    assert (relative, largest) == (0.1, 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_with_nan_can_be_written_and_read(bad: float) -> None:
    """A row about a broken model is itself a whole row."""
    other = SCORES.copy()
    other[0, 0] = bad
    found = score([SCORES], [other], feeds([1, 0, 1, 0]), "auto")
    assert found.relative_error is None
    assert msgspec.json.decode(msgspec.json.encode(found), type=Score) == found


def test_outputs_of_another_size_have_no_distance() -> None:
    """Detections that come in other numbers cannot be subtracted."""
    assert closeness([np.zeros(3)], [np.zeros(4)])[0] == float("inf")


def test_the_users_metric_gets_outputs_and_data(tmp_path: Path) -> None:
    """A function from the plan's folder scores both sides."""
    code = tmp_path / "own.py"
    code.write_text("def f(outputs, data):\n    return (outputs[0].argmax(1) == data['labels']).sum()\n")
    found = score([SCORES], [SCORES], feeds([1, 0, 1, 1]), f"{code}:f")
    assert (found.metric, found.before, found.after) == ("f", 3.0, 3.0)


def test_a_metric_that_throws_is_named(tmp_path: Path) -> None:
    """The row says which function failed and how."""
    code = tmp_path / "bad.py"
    code.write_text("def f(outputs, data):\n    return data['nothing']\n")
    with pytest.raises(MetricError, match=r"bad\.py:f failed: KeyError: 'nothing'"):
        score([SCORES], [SCORES], feeds(), f"{code}:f")
    with pytest.raises(CompressError, match="cannot be loaded: AttributeError"):
        load_function(f"{code}:g")


def test_accuracy_without_labels_says_what_is_missing() -> None:
    """The data file and the array are named."""
    with pytest.raises(CompressError, match=r"d\.npz has no array named labels"):
        score([SCORES], [SCORES], feeds(), "accuracy")
