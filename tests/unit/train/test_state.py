"""Objects in checkpoints."""

import random

import numpy as np
import pytest
import torch

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train import checkpoint
from mlcost_hpc.train.state import States


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: random.Random(1), lambda g: g.random()),
        (lambda: np.random.default_rng(1), lambda g: g.random()),
        (lambda: np.random.Generator(np.random.MT19937(1)), lambda g: g.random()),
        (lambda: np.random.Generator(np.random.SFC64(1)), lambda g: g.random()),
        (lambda: torch.Generator().manual_seed(1), lambda g: torch.rand(1, generator=g).item()),
    ],
)
def test_generators_go_on_where_they_were(tmp_path, make, draw):
    """A generator restored from a file draws the numbers that the saved one draws next."""
    one = make()
    draw(one)
    states = States()
    states.add("g", one)
    states.check()
    checkpoint.write_state(tmp_path / "s.pt", states.capture())
    expected = [draw(one) for _ in range(5)]
    two = make()
    others = States()
    others.add("g", two)
    others.load(checkpoint.read_state(tmp_path / "s.pt"))
    assert [draw(two) for _ in range(5)] == expected


def test_objects_without_state_are_refused():
    """A thing that cannot be saved is told at once, with a hint where plain values go."""
    with pytest.raises(UsageError, match=r"best \(float\).*run\.values"):
        States().add("best", 0.5)


def test_state_that_cannot_be_read_back_is_refused_before_training():
    """The place of the array is named, long before the first save would have failed to load."""

    class Odd:
        def state_dict(self):
            return {"history": [1, np.zeros(3)]}

        def load_state_dict(self, state):
            pass

    states = States()
    states.add("odd", Odd())
    with pytest.raises(UsageError, match=r"odd\['history'\]\[1\] is a numpy.ndarray"):
        states.check()


def test_a_checkpoint_of_another_script_is_named_as_such():
    """Missing and surplus objects are both listed."""
    states = States()
    states.add("model", torch.nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="it lacks model and has net besides"):
        states.load({"net": {}})


def test_a_model_of_another_shape_is_named_as_such():
    """The object that does not fit is named before torch's own words."""
    states = States()
    states.add("model", torch.nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="does not fit model"):
        states.load({"model": torch.nn.Linear(2, 1).state_dict()})
