"""Samples from files, and made-up ones."""

from pathlib import Path

import numpy as np
import pytest

from mlcost_hpc.compress.feeds import load_feeds, random_feeds
from mlcost_hpc.compress.onnxfile import Port
from mlcost_hpc.errors import CompressError

X = Port(name="x", dtype="float32", shape=(None, 3))


def save(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "d.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_samples_come_in_calls_of_the_asked_size(tmp_path: Path) -> None:
    """The last call is short, no sample is left out, doubles become the model's floats."""
    feeds = load_feeds(save(tmp_path, x=np.arange(15.0).reshape(5, 3), labels=np.arange(5)), [X])
    assert [len(call["x"]) for call in feeds.calls(2)] == [2, 2, 1]
    assert feeds.arrays["x"].dtype == np.float32
    assert feeds.labels is not None


def test_a_lone_array_needs_not_have_the_inputs_name(tmp_path: Path) -> None:
    """With one input and one array there is nothing to mix up."""
    assert len(load_feeds(save(tmp_path, pixels=np.zeros((4, 3))), [X])) == 4


def test_one_axis_more_means_one_call_a_sample(tmp_path: Path) -> None:
    """Models without a batch axis get their samples one by one."""
    port = Port(name="x", dtype="float32", shape=(2, 3))
    feeds = load_feeds(save(tmp_path, x=np.zeros((4, 2, 3))), [port])
    assert not feeds.batched
    assert [call["x"].shape for call in feeds.calls(2)] == [(2, 3)] * 4


def test_a_scalar_input_stays_an_array(tmp_path: Path) -> None:
    """A sample rate, say, is fed as an array without axes, which is what the runtime takes."""
    port = Port(name="rate", dtype="int64", shape=())
    [first, _] = load_feeds(save(tmp_path, rate=np.array([16000, 8000])), [port]).calls(1)
    assert isinstance(first["rate"], np.ndarray)
    assert first["rate"].shape == ()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((4, 2))}, "x has shape (4, 2), the model takes (any, 3)"),
        ({"x": np.zeros(4)}, "has shape (4,)"),
        ({"a": np.zeros((4, 3)), "b": np.zeros((4, 3))}, "no array for the model's input 'x'"),
        ({"x": np.zeros((4, 3)), "labels": np.zeros(3)}, "3 labels for 4 samples"),
        ({"x": np.array([["a", "b", "c"]])}, "the model takes float32"),
        ({"x": np.zeros((0, 3))}, "different numbers of samples, or none"),
    ],
)
def test_data_that_does_not_fit_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    """The message says file, input, what it is and what it should be."""
    with pytest.raises(CompressError, match=r"d\.npz") as caught:
        load_feeds(save(tmp_path, **arrays), [X])
    assert words in str(caught.value)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    """A data file cannot run code."""
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CompressError, match=r"no [.]npz file of plain arrays"):
        load_feeds(path, [X])


def test_made_up_samples_are_the_same_for_the_same_seed() -> None:
    """Two tasks compare a candidate on the same inputs."""
    ids = Port(name="ids", dtype="int64", shape=(None, None))
    one, other = random_feeds([X, ids], 3, 7), random_feeds([X, ids], 3, 7)
    assert (one.arrays["x"] == other.arrays["x"]).all()
    assert one.arrays["ids"].dtype == np.int64
