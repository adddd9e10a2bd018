"""What the site's own past says about waiting and preemption: accounting rows boiled down to samples.

The rows of a week are asked for once an hour at most and kept, boiled down, in the user's state folder: a
chooser must not be what makes slurmdbd slow.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import SlurmError
from mlcost_hpc.launch.kept import keep_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlcost_hpc.slurm.api import Run, Slurm

LOOK_BACK_S = 7 * 86400
KEEP_S = 3600
_MOST_SAMPLES = 50_000


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One run of a job.

    Attributes:
        partition: where it ran.
        gpu_type: GRES type of most of its GPUs; empty = none, or not known.
        gpus: GPUs it held.
        wait_s: seconds from eligible to start.
        elapsed_s: seconds it ran.
        preempted: it ended for a job that needed its place.
        failed_node: it ended because a node failed.
        qos: its QOS.
    """

    partition: str
    gpu_type: str
    gpus: int
    wait_s: int
    elapsed_s: int
    preempted: bool
    failed_node: bool
    qos: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of the past.

    Attributes:
        samples: runs that started.
        taken: UTC seconds when they were asked for.
        note: why there are none, or what is missing; empty when all is well.
        age_s: how much older they are than they should be, seconds.
    """

    samples: tuple[Sample, ...] = ()
    taken: int = 0
    note: str = "no history was asked for"
    age_s: int = 0


def read_history(slurm: Slurm, path: Path, now: int | None = None) -> History:
    """Return the last week's samples, from the kept file while it is fresh.

    Without accounting, or while it is down, the kept file is used whatever its age, else nothing; the note
    says so.

    Args:
        slurm: the cluster.
        path: where samples are kept.
        now: UTC seconds; None = the clock.
    """
    moment = int(time.time()) if now is None else now
    kept = _kept(path)
    if kept is not None and moment - kept.taken < KEEP_S:
        return kept
    try:
        answer = slurm.runs(moment - LOOK_BACK_S, moment)
    except SlurmError as error:
        if kept is None:
            return History(note=f"no history: {error}")
        age_s = moment - kept.taken
        said = f"history is {age_s // 3600} h old, intervals are wider for it: {error}"
        return msgspec.structs.replace(kept, note=said, age_s=age_s)
    history = History(samples=tuple(samples_of(answer.runs))[-_MOST_SAMPLES:], taken=moment, note="")
    with suppress(OSError):  # a full home folder must not keep anybody from submitting
        keep_file(path, msgspec.json.encode(history))
    return history


def samples_of(runs: Iterable[Run]) -> Iterable[Sample]:
    """Yield the runs that started as samples.

    A job of ours that is warned requeues itself once it has saved, so a preemption is booked as REQUEUED;
    in sacct nothing else tells the two apart, and both mean that the place was lost.
    """
    for run in runs:
        if run.started is None:
            continue
        asked = run.eligible if run.eligible is not None else run.submitted
        types = Counter(run.allocated.gpu_types).most_common(1)
        yield Sample(
            partition=run.partition,
            gpu_type=types[0][0] if types else "",
            gpus=run.allocated.gpus,
            wait_s=max(0, run.started - asked) if asked is not None else 0,
            elapsed_s=run.elapsed_s,
            preempted=run.state in ("PREEMPTED", "REQUEUED"),
            failed_node=run.state in ("NODE_FAIL", "BOOT_FAIL"),
            qos=run.qos,
        )


def _kept(path: Path) -> History | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=History)
    except (OSError, msgspec.MsgspecError):
        return None  # missing or of another version: it is asked for again
