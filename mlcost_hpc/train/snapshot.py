"""The state of a run between two steps, as it goes to a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlcost_hpc.train.tree import count_bytes

if TYPE_CHECKING:
    from mlcost_hpc.train.checkpoint import Part


class Snapshot(NamedTuple):
    """The state of the run between two steps.

    Attributes:
        step: steps done.
        shared: state all processes have in common.
        own: state of this process.
        optional: state that is only saved when there is time.
        parts: what the processes write together, by name.
        score: figure of merit, lower is better.
    """

    step: int
    shared: dict[str, Any]
    own: dict[str, Any]
    optional: dict[str, Any]
    parts: dict[str, Part]
    score: float | None

    def without_optional(self) -> Snapshot:
        """Return the required part."""
        return self._replace(optional={})

    @property
    def size(self) -> int:
        """Bytes of all tensors of this process; those of parts that cannot be copied are not counted."""
        parts = sum(getattr(part, "local_size", 0) for part in self.parts.values())
        return count_bytes((self.shared, self.own, self.optional)) + parts
