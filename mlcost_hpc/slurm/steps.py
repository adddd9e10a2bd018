"""What the steps of finished jobs used: sacct's argument list and its parser (pure).

``sacct -X`` has no such figures, and sacct gives only the steps that overlap its window: the window must hold
the whole job, so jobs are asked for by id since they were submitted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import UnitError
from mlcost_hpc.slurm.rows import split_rows
from mlcost_hpc.slurm.values import parse_moment
from mlcost_hpc.units import parse_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STEP_FIELDS = ("JobID", "Submit", "TRESUsageInTot", "Cluster")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.(\d+))?")


class JobUse(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps of one run used together.

    Attributes:
        job_id: as printed, without the step.
        submitted: when the run was submitted (UTC seconds).
        cpu_ms: CPU time of all steps, milliseconds; None = not told.
        memory: memory of the largest step, all its tasks together, bytes; None = not told.
        gpu_percent: GPU utilisation of the busiest step, summed over its GPUs; None = not measured: where
            Slurm cannot measure it, it writes 0.
    """

    job_id: str
    submitted: int
    cpu_ms: int | None
    memory: int | None
    gpu_percent: int | None


def sacct_steps(job_ids: Sequence[str], since: int, *, separator: str, cluster: str | None) -> list[str]:
    """Return the command for every step of some jobs since a time (UTC seconds)."""
    at = [f"--clusters={cluster}"] if cluster else []
    return [
        "sacct", *at, "--allusers", "--duplicates", "--parsable2", "--noheader", "--noconvert",
        f"--delimiter={separator}", f"--format={','.join(STEP_FIELDS)}", f"--jobs={','.join(job_ids)}",
        f"--starttime=uts{since}",
    ]  # fmt: skip


def parse_steps(text: str, separator: str) -> list[JobUse]:
    """Return what each run used; rows that cannot be read leave their run out, never a wrong figure in."""
    sums: dict[tuple[str, int], list[dict[str, int]]] = {}
    for fields in split_rows(text, separator, len(STEP_FIELDS)):
        if not isinstance(fields, list) or "." not in fields[0]:
            continue
        submitted = parse_moment(fields[1])
        if submitted is not None:
            job_id = fields[0].split(".", 1)[0]
            sums.setdefault((job_id, submitted), []).append(parse_usage(fields[2]))
    return [
        JobUse(
            job_id=job_id,
            submitted=submitted,
            cpu_ms=_total(step.get("cpu") for step in steps),
            memory=max((step["mem"] for step in steps if "mem" in step), default=None),
            gpu_percent=max((step["gpu"] for step in steps if step.get("gpu")), default=None),
        )
        for (job_id, submitted), steps in sums.items()
    ]


def parse_usage(text: str) -> dict[str, int]:
    """Return ``cpu`` (milliseconds), ``mem`` (bytes), ``gpu`` (percent) of a TRESUsage text, where told."""
    found: dict[str, int] = {}
    for entry in text.split(","):
        name, _, value = entry.partition("=")
        try:
            if name == "cpu":
                found["cpu"] = _milliseconds(value)
            elif name == "mem":
                found["mem"] = int(value) if value.isdecimal() else parse_memory(value)
            elif name == "gres/gpuutil":
                found["gpu"] = int(value)
        except (UnitError, ValueError):
            continue
    return found


def _milliseconds(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise UnitError(f"{text!r} is not a duration")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return whole * 1000 + int((match[5] or "0").ljust(3, "0")[:3])


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
