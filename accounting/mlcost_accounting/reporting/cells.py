"""Sums of a period by every dimension, from which all tables are cut, and over time, for charts (pure).

A page shows the same spending by account, project, user, GPU model, ... It is read from the ledger once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlcost_accounting.periods import Period, period_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlcost_accounting.dims import Dims
    from mlcost_accounting.periods import Kind


class Sums(NamedTuple):
    """Sums of charges; ``cost`` and ``credit`` in micros."""

    runs: int = 0
    wall_s: int = 0
    cpu_s: int = 0
    gpu_s: int = 0
    node_s: int = 0
    cost: int = 0
    credit: int = 0
    refused: int = 0

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums(*(mine + others for mine, others in zip(self, other, strict=True)))


class Cell(NamedTuple):
    """Sums of one combination of dimensions; a combination may have several cells."""

    dims: Dims
    sums: Sums


class Cells:
    """The sums of a period.

    Args:
        cells: the sums.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells

    def where(self, fits: Callable[[Dims], bool]) -> Cells:
        """Return the part of the sums whose dimensions fit."""
        return Cells([cell for cell in self.cells if fits(cell.dims)])

    def total(self) -> Sums:
        """Return the sum of all."""
        return add(cell.sums for cell in self.cells)

    def by(self, dimension: str) -> dict[str, Sums]:
        """Return the sums of each value of a dimension, the dearest first, then by name."""
        groups: dict[str, list[Sums]] = {}
        for cell in self.cells:
            groups.setdefault(getattr(cell.dims, dimension), []).append(cell.sums)
        sums = {name: add(parts) for name, parts in groups.items()}
        return dict(sorted(sums.items(), key=lambda item: (-item[1].cost, -item[1].gpu_s, item[0])))


class Series:
    """Costs over the parts of a period.

    Args:
        buckets: names of the parts.
        costs: (index of the part, name of a layer, micros).
    """

    def __init__(self, buckets: Sequence[str], costs: Sequence[tuple[int, str, int]]) -> None:
        self.buckets = buckets
        self._costs = costs

    def layers(self, most: int) -> list[tuple[str, list[int]]]:
        """Return (name, micros of each part) of the dearest layers, the rest as ``other``."""
        sums: dict[str, int] = {}
        for _, name, cost in self._costs:
            sums[name] = sums.get(name, 0) + cost
        top = sorted(sums, key=lambda name: (-sums[name], name))
        named = top if len(top) <= most else top[: most - 1]
        lines = {name: [0] * len(self.buckets) for name in named}
        other = [0] * len(self.buckets)
        for bucket, name, cost in self._costs:
            lines.get(name, other)[bucket] += cost
        return [*lines.items(), *([(OTHER, other)] if len(named) < len(top) else [])]


OTHER = "other"
"""Name of what is left when only the dearest are named."""


def add(parts: Iterable[Sums]) -> Sums:
    """Return the sum of sums."""
    columns = list(zip(*parts, strict=True))
    return Sums(*map(sum, columns)) if columns else Sums()


def buckets_of(period: Period) -> list[Period]:
    """Return the parts in which a period is drawn: days up to five weeks, weeks up to a quarter, months."""
    kind: Kind = "day" if period.days <= 35 else "week" if period.days <= 100 else "month"
    parts: list[Period] = []
    first = period.first
    while first <= period.last:
        part = period_of(first, kind)
        parts.append(Period(kind=kind, first=first, last=min(part.last, period.last)))
        first = part.following().first
    return parts


def bucket_name(bucket: Period) -> str:
    """Return the name of a part on a chart's axis: ``1``, ``1 Nov`` or ``Nov``."""
    if bucket.kind == "month":
        return f"{bucket.first:%b}"
    if bucket.kind == "week":
        return f"{bucket.first.day} {bucket.first:%b}"
    return str(bucket.first.day)


def change_percent(now: int, before: int) -> float | None:
    """Return by how many per cent something changed; None when there was nothing before, but is now."""
    if not before:
        return None if now else 0.0
    return 100 * (now - before) / before


UNFINISHED: Mapping[str, str] = {
    "FAILED": "ended with an error",
    "TIMEOUT": "hit the time limit",
    "OUT_OF_MEMORY": "ran out of memory",
    "CANCELLED": "somebody cancelled it",
    "PREEMPTED": "gave way to another job",
    "REQUEUED": "requeued",
    "NODE_FAIL": "a node failed",
    "BOOT_FAIL": "a node did not boot",
    "DEADLINE": "missed its deadline",
    "REVOKED": "revoked",
    "LAUNCH_FAILED": "did not start",
}
"""States of runs that ended without finishing their work, in words."""


def unfinished(cells: Cells) -> Cells:
    """Return what was spent on runs that ended without finishing; work saved by checkpoints is among it."""
    return cells.where(lambda dims: dims.state in UNFINISHED)
