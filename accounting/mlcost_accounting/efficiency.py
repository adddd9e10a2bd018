"""How much of what runs held they used, by group (pure).

No figure is not zero: what nobody measured is left out and counted. A figure above what was held is no
efficiency but a broken source: it is left out, counted and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TOLERANCE = 1.05
"""Sampling at a run's end may find a little more than was held; more than this is taken for an error."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one run held and used.

    Attributes:
        elapsed_s: how long it ran, suspension excluded.
        allocated: what it held, as a TRES list.
        cpu_ms: CPU time used, milliseconds; None = not measured.
        memory: bytes used at most; None = not measured.
        gpu_percent: utilisation summed over its GPUs; None = not measured.
    """

    elapsed_s: int
    allocated: str
    cpu_ms: int | None
    memory: int | None
    gpu_percent: int | None


class Efficiency(msgspec.Struct, kw_only=True):
    """The runs of a group.

    Attributes:
        runs: all that ended and ran.
        measured: those with a figure that can be true.
        cpu, memory, gpu: (used, held) sums over the runs with such a figure, each run weighed by its time.
        implausible: what -> number of runs with more used than held.
    """

    runs: int = 0
    measured: int = 0
    cpu: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    memory: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    gpu: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    implausible: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, use: Use) -> None:
        """Count a run."""
        self.runs += 1
        held = parse_tres(use.allocated)
        figures = {
            "cpu": (use.cpu_ms, held.cpus * use.elapsed_s * 1000),
            "memory": (
                None if use.memory is None else use.memory * use.elapsed_s,
                held.memory * use.elapsed_s,
            ),
            "gpu": (
                None if use.gpu_percent is None else use.gpu_percent * use.elapsed_s,
                held.gpus * 100 * use.elapsed_s,
            ),
        }
        sound = False
        for name, (used, most) in figures.items():
            if used is None or not most:
                continue
            if used > most * TOLERANCE:
                self.implausible[name] = self.implausible.get(name, 0) + 1
                continue
            sound = True
            sums = getattr(self, name)
            sums[0] += used
            sums[1] += most
        self.measured += sound

    def share(self, name: str) -> float | None:
        """Return the part of ``cpu``, ``memory`` or ``gpu`` that was used, at most 1; None = not measured."""
        used, held = getattr(self, name)
        return min(1.0, used / held) if held else None

    @property
    def doubts(self) -> str:
        """Which figures were left out, for a person; empty when none."""
        return ", ".join(f"{name} above 100 % in {count} runs" for name, count in self.implausible.items())


def by_group(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[tuple[str, ...], Efficiency]:
    """Return group -> efficiency.

    Args:
        rows: runs with the fields of :class:`Use` and the dimensions ``names``.
        names: dimensions that make a group.
    """
    groups: dict[tuple[str, ...], Efficiency] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        groups.setdefault(key, Efficiency()).add(
            Use(**{field: row[field] for field in Use.__struct_fields__})
        )
    return groups
