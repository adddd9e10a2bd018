"""The order of the data."""

import functools
import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train import BatchOrder


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 3))
def test_an_epoch_shows_each_sample_at_most_once(size, batch, seed, epoch):
    """The batches of an epoch are disjoint and, up to the rest that makes no batch, complete."""
    batch = min(batch, size)
    order = BatchOrder(size, batch, seed=seed)
    first = epoch * order.steps_per_epoch
    seen = torch.cat([order.batch(step) for step in range(first, first + order.steps_per_epoch)])
    assert len(seen) == len(set(seen.tolist())) == size // batch * batch


def test_a_step_means_the_same_samples_in_any_order_of_asking():
    """Nothing is remembered: going back and forth changes nothing."""
    order = BatchOrder(100, 10, seed=3)
    forward = [order.batch(step).tolist() for step in range(40)]
    assert [BatchOrder(100, 10, seed=3).batch(step).tolist() for step in reversed(range(40))] == forward[::-1]
    batches = order.starting_at(17)
    assert [next(batches) for _ in range(5)] == forward[17:22]
    assert forward[0] != forward[10]


@pytest.mark.parametrize("world", [1, 2, 5])
def test_the_processes_share_the_batch_of_the_step(world):
    """However many processes there are, together they see the same samples."""
    parts = [BatchOrder(100, 10, seed=3, rank=rank, world=world).batch(7).tolist() for rank in range(world)]
    assert sorted(functools.reduce(operator.iadd, parts, [])) == sorted(
        BatchOrder(100, 10, seed=3).batch(7).tolist()
    )


def test_a_changed_order_is_refused_at_restore():
    """Resuming with another seed would silently show other data."""
    with pytest.raises(CheckpointError, match="seed=1, this run has 2"):
        BatchOrder(10, 5, seed=2).load_state_dict(BatchOrder(10, 5, seed=1).state_dict())


@pytest.mark.parametrize(("size", "batch", "world"), [(10, 11, 1), (10, 0, 1), (10, 5, 2)])
def test_impossible_batches_are_refused(size, batch, world):
    """A batch larger than the data, empty, or not to be shared evenly makes no sense."""
    with pytest.raises(UsageError):
        BatchOrder(size, batch, world=world)
