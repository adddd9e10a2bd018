"""The rows of a batch with all that came of it: tasks, later measurements, checks on other processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.alone import read_measurements
from mlcost_hpc.compress.check import Check, read_checks
from mlcost_hpc.compress.records import Measurement, Result
from mlcost_hpc.compress.verdict import settle
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a batch.

    Attributes:
        rows: one a task that has one, with the verdict of now.
        written: the same as their tasks wrote them.
        measurements: task -> its later measurements.
        checks: task -> what other processors answered.
        damaged: files that cannot be read, each with why.
    """

    rows: tuple[Result, ...]
    written: tuple[Result, ...]
    measurements: Mapping[str, Sequence[Measurement]]
    checks: Mapping[str, Sequence[Check]]
    damaged: tuple[str, ...]


def read_outcome(batch: Batch, manifest: Manifest) -> Outcome:
    """Return what is known of a batch; what is damaged is named and hides nothing else."""
    rows: list[Result] = []
    measurements: dict[str, Sequence[Measurement]] = {}
    checks: dict[str, Sequence[Check]] = {}
    damaged: list[str] = []
    written = batch.results(manifest.tasks)
    for row in written:
        try:
            measurements[row.task] = read_measurements(batch, row.task)
            checks[row.task] = read_checks(batch, row.task)
        except CompressError as error:
            damaged.append(str(error))
        rows.append(
            settle(
                row,
                manifest.model(row.model).limits,
                manifest.settings.serving,
                measurements.get(row.task, ()),
                checks.get(row.task, ()),
            )
        )
    return Outcome(
        rows=tuple(rows),
        written=tuple(written),
        measurements=measurements,
        checks=checks,
        damaged=tuple(damaged),
    )


def measured_in(outcome: Outcome) -> tuple[str, ...]:
    """Return the partitions in which candidates were measured, the first one first; empty outside Slurm."""
    places = [row.place for row in outcome.rows if row.place is not None]
    places += [found.place for each in outcome.measurements.values() for found in each]
    return tuple(dict.fromkeys(place.partition for place in places if place.partition))
