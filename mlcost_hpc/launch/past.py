"""The past of a partition, summed up once so that every offer can be judged in no time (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
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


class Waits(msgspec.Struct, frozen=True):
    """Waits of some jobs, in seconds: how many, their mean, and the quantiles of 10, 50 and 90 %."""

    count: int = 0
    mean: float = 0.0
    low: float = 0.0
    middle: float = 0.0
    high: float = 0.0


NO_WAITS = Waits()


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """The past of one partition.

    Attributes:
        stops: GRES type -> stops of jobs on it.
        stops_of_qos: (GRES type, QOS) -> the same for one QOS.
        waits: (GRES type, size class) -> waits. The size class of 1, 2-3, 4-7, ... GPUs is 1, 2, 3, ...;
            without GPUs it is 0.
        waits_on: GRES type -> the same for all sizes.
        all_waits: the same for all jobs.
        failures: hours of all its jobs together, and how many a failing node stopped: a node fails whatever
            runs on it.
    """

    stops: Mapping[str, Stops] = {}
    stops_of_qos: Mapping[tuple[str, str], Stops] = {}
    waits: Mapping[tuple[str, int], Waits] = {}
    waits_on: Mapping[str, Waits] = {}
    all_waits: Waits = NO_WAITS
    failures: Stops = Stops()

    def waits_like(self, gpu_type: str, gpus: int, enough: int) -> tuple[Waits, str]:
        """Return the waits of the jobs most like one of which there are enough, and in words which these are.

        Jobs of the same size on the same GPUs, else all jobs on these GPUs, else all jobs here.
        """
        alike = self.waits.get((gpu_type, size_class(gpus)), NO_WAITS)
        if alike.count >= enough:
            return alike, "like it here"
        typed = self.waits_on.get(gpu_type, NO_WAITS)
        if typed.count >= enough:
            return typed, "on these GPUs here"
        return self.all_waits, "in this partition"


NOTHING = Past()


def size_class(gpus: int) -> int:
    """Return 0 for none, 1 for one GPU, 2 for two or three, 3 for four to seven, ..."""
    return gpus.bit_length()


def by_partition(samples: Iterable[Sample]) -> dict[str, Past]:
    """Return the past of every partition."""
    waits: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for sample in samples:
        waits[sample.partition][sample.gpu_type, size_class(sample.gpus)].append(sample.wait_s)
        total = counts[sample.partition, sample.gpu_type, sample.qos]
        total[0] += sample.elapsed_s
        total[1] += 1
        total[2] += sample.preempted
        total[3] += sample.failed_node
    stops: dict[str, dict[tuple[str, str], Stops]] = defaultdict(dict)
    for (partition, gpu_type, qos), (elapsed, runs, preempted, failed) in counts.items():
        stops[partition][gpu_type, qos] = Stops(
            hours=elapsed / 3600, runs=runs, preempted=preempted, failed=failed
        )
    return {partition: _past(groups, stops[partition]) for partition, groups in waits.items()}


def _past(groups: Mapping[tuple[str, int], list[int]], stops: Mapping[tuple[str, str], Stops]) -> Past:
    on: dict[str, list[int]] = defaultdict(list)
    alike: dict[str, list[Stops]] = defaultdict(list)
    for (gpu_type, _), found in stops.items():
        alike[gpu_type].append(found)
    for (gpu_type, _), values in groups.items():
        on[gpu_type] += values
    return Past(
        stops={gpu_type: _together(found) for gpu_type, found in alike.items()},
        stops_of_qos=stops,
        waits={key: _waits(values) for key, values in groups.items()},
        waits_on={gpu_type: _waits(values) for gpu_type, values in on.items()},
        all_waits=_waits([value for values in on.values() for value in values]),
        failures=_together(stops.values()),
    )


def _together(stops: Collection[Stops]) -> Stops:
    return Stops(
        hours=sum(item.hours for item in stops),
        runs=sum(item.runs for item in stops),
        preempted=sum(item.preempted for item in stops),
        failed=sum(item.failed for item in stops),
    )


def _waits(values: list[int]) -> Waits:
    ordered = sorted(values)
    low, middle, high = (
        ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.1, 0.5, 0.9)
    )
    return Waits(len(ordered), sum(ordered) / len(ordered), low, middle, high)
