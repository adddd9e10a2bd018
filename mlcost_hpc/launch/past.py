"""The past of a partition, summed up once so that every offer can be judged in no time (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.launch.history import Sample


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """How long jobs ran, and how many of them were stopped.

    Attributes:
        hours: together.
        runs: how many.
        preempted: stopped for another job.
        failed: stopped by a node that failed.
    """

    hours: float = 0.0
    runs: int = 0
    preempted: int = 0
    failed: int = 0


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """The past of one partition.

    Attributes:
        stops: GRES type -> stops of jobs on it.
        waits: (GRES type, size class) -> waits in seconds, ascending. The size class of 1, 2-3, 4-7, ... GPUs
            is 1, 2, 3, ...; without GPUs it is 0.
        waits_on: GRES type -> the same for all sizes.
        all_waits: the same for all jobs.
        failures: hours of all its jobs together, and how many a failing node stopped: a node fails whatever
            runs on it.
    """

    stops: Mapping[str, Stops] = {}
    waits: Mapping[tuple[str, int], tuple[int, ...]] = {}
    waits_on: Mapping[str, tuple[int, ...]] = {}
    all_waits: tuple[int, ...] = ()
    failures: Stops = Stops()

    def waits_like(self, gpu_type: str, gpus: int, enough: int) -> tuple[tuple[int, ...], str]:
        """Return the waits of the jobs most like one of which there are enough, and in words which these are.

        Jobs of the same size on the same GPUs, else all jobs on these GPUs, else all jobs here.
        """
        alike = self.waits.get((gpu_type, size_class(gpus)), ())
        if len(alike) >= enough:
            return alike, "like it here"
        typed = self.waits_on.get(gpu_type, ())
        if len(typed) >= enough:
            return typed, "on these GPUs here"
        return self.all_waits, "in this partition"


NOTHING = Past()


def size_class(gpus: int) -> int:
    """Return 0 for none, 1 for one GPU, 2 for two or three, 3 for four to seven, ..."""
    return gpus.bit_length()


def by_partition(samples: Iterable[Sample]) -> dict[str, Past]:
    """Return the past of every partition."""
    waits: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for sample in samples:
        waits[sample.partition][sample.gpu_type, size_class(sample.gpus)].append(sample.wait_s)
        total = seconds[sample.partition, sample.gpu_type]
        total[0] += sample.elapsed_s
        total[1] += 1
        total[2] += sample.preempted
        total[3] += sample.failed_node
    stops: dict[str, dict[str, Stops]] = defaultdict(dict)
    for (partition, gpu_type), (elapsed, runs, preempted, failed) in seconds.items():
        stops[partition][gpu_type] = Stops(
            hours=elapsed / 3600, runs=runs, preempted=preempted, failed=failed
        )
    return {partition: _past(groups, stops[partition]) for partition, groups in waits.items()}


def _past(groups: Mapping[tuple[str, int], list[int]], stops: Mapping[str, Stops]) -> Past:
    on: dict[str, list[int]] = defaultdict(list)
    for (gpu_type, _), values in groups.items():
        on[gpu_type] += values
    return Past(
        stops=stops,
        waits={key: tuple(sorted(values)) for key, values in groups.items()},
        waits_on={gpu_type: tuple(sorted(values)) for gpu_type, values in on.items()},
        all_waits=tuple(sorted(value for values in on.values() for value in values)),
        failures=Stops(
            hours=sum(item.hours for item in stops.values()),
            failed=sum(item.failed for item in stops.values()),
        ),
    )
