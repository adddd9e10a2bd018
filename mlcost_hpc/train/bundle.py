"""Everything a run wants in its checkpoints, gathered and put back in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_hpc.errors import UsageError
from mlcost_hpc.train import rng
from mlcost_hpc.train.snapshot import Snapshot
from mlcost_hpc.train.state import States
from mlcost_hpc.train.tree import check_loadable

if TYPE_CHECKING:
    from mlcost_hpc.train.checkpoint import Part, Restored


class Bundle:
    """The named objects, the plain values and the random generators of a run.

    Attributes:
        required: objects without which the run cannot go on as if nothing had happened.
        optional: objects it can do without.
        parts: what the processes write together.
        values: small plain values.
    """

    def __init__(self) -> None:
        self.required, self.optional = States(), States()
        self.parts: dict[str, Part] = {}
        self.values: dict[str, Any] = {}
        self._rng_state: dict[str, Any] | None = None

    def check(self) -> None:
        """Make sure that everything can be read back safely.

        Raises:
            UsageError: naming the first thing that cannot.
        """
        self.required.check()
        self.optional.check()

    def add_part(self, name: str, part: Part) -> None:
        """Add a part under a name that becomes its folder in the checkpoint.

        Raises:
            UsageError: the name is taken or is no plain word.
        """
        if name in self.parts or not name.isidentifier():
            msg = f"{name!r} cannot name a part: it is taken or not a plain word"
            raise UsageError(msg)
        self.parts[name] = part

    def capture(self, step: int, score: float | None) -> Snapshot:
        """Return the present state; tensors are shared with the objects, not copied.

        Raises:
            UsageError: a plain value is none.
        """
        check_loadable(self.values, "run.values")
        return Snapshot(
            step=step,
            shared={"states": self.required.capture(), "values": dict(self.values)},
            own={"rng": rng.capture()},
            optional=self.optional.capture(),
            parts=dict(self.parts),
            score=score,
        )

    def load(self, restored: Restored) -> list[str]:
        """Put everything back but the random generators; return what a person should know.

        Raises:
            CheckpointError: the checkpoint does not fit.
        """
        warnings = []
        self.required.load(restored.shared["states"])
        self.values.update(restored.shared["values"])
        if restored.optional or self.optional.is_empty:
            self.optional.load(restored.optional)
        else:
            warnings.append("there was no time to save the optional state; it starts afresh")
        if restored.own is None:
            warnings.append("the checkpoint was made by fewer processes; random numbers start afresh here")
        else:
            self._rng_state = restored.own["rng"]
        return warnings

    def restore_generators(self) -> None:
        """Put the random generators back; to be last, for making a loader draws a number."""
        if self._rng_state is not None:
            rng.restore(self._rng_state)
            self._rng_state = None
