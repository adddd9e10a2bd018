"""One record per attempt of a training run: where it began, how far it got, and why it ended.

A run that is preempted and requeued has several attempts under one job id. Each is one small JSON file,
``<run folder>/attempts/<job id>.<restart>.json``, rewritten in one step at the start, at each save and at
the end. This module needs no torch, so the command line and the accounting can read the records.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import atomic

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

Reason = Literal["finished", "preempted", "timeout", "signal", "budget", "superseded", "error"]
"""Why an attempt ended; ``superseded``: another one has taken over the run. One that was killed without a
warning has none: its record was never closed."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One run of the training process.

    Steps are counted as "steps done": an attempt that starts from nothing has ``first_step`` 0, and the
    next attempt's ``first_step`` is this one's ``last_step`` unless its newest checkpoint was damaged.

    Attributes:
        job_id: Slurm's job id, ``<array job>_<task>`` in an array, ``local`` outside Slurm.
        restart: how often Slurm had requeued the job before (SLURM_RESTART_COUNT).
        started: UTC, ISO 8601.
        first_step: steps already done when this attempt began.
        last_step: steps done and safe in a checkpoint.
        reached_step: steps done, saved or not (written at least every few seconds).
        updated: when this record was last written, UTC, ISO 8601.
        total_steps: how many steps the run wants; None until the loop has started.
        ended: UTC, ISO 8601; None while it runs, and for ever when it was killed without a warning.
        reason: why it ended; None as long as ``ended`` is.
        steps_per_second: measured over this attempt, saves left out; None before the first step.
        gpu_model: catalogue name of the GPU it ran on, if the launcher said so.
        gpus: number of GPUs it held.
        peak_memory: most bytes that tensors of the first process took on one GPU; None without a GPU.
        save_seconds: how long the latest save took, beside the training or in its way.
        stall_seconds: for how much of that the training stood still.
        restore_seconds: how long finding, checking and loading the checkpoint took.
        checkpoint: name of the checkpoint it started from; None when it started from nothing.
        warnings: what a person should know, e.g. a damaged checkpoint that was passed over.
    """

    job_id: str
    restart: int
    started: str
    first_step: int = 0
    last_step: int = 0
    reached_step: int = 0
    updated: str | None = None
    total_steps: int | None = None
    ended: str | None = None
    reason: Reason | None = None
    steps_per_second: float | None = None
    gpu_model: str | None = None
    gpus: int = 0
    peak_memory: int | None = None
    save_seconds: float | None = None
    stall_seconds: float | None = None
    restore_seconds: float | None = None
    checkpoint: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def unwarned(self) -> bool:
        """Whether the record was never closed: the attempt still runs, or was killed without a warning."""
        return self.ended is None

    @property
    def lost_work(self) -> bool:
        """Whether steps were done and not saved: no warning, too late a warning, or a save that failed."""
        return self.unwarned or (self.reason != "error" and self.reached_step > self.last_step)


def utc_now() -> str:
    """Return the present time as UTC ISO 8601 text with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def job_id_from(environment: Mapping[str, str]) -> str:
    """Return the job id the way Slurm's users write it: ``123``, ``123_4`` in an array, else ``local``."""
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    return environment.get("SLURM_JOB_ID") or "local"


def new_attempt(environment: Mapping[str, str], folder: Path) -> Attempt:
    """Return the record of an attempt that begins now.

    Args:
        environment: the process environment (SLURM_*, MLCOST_GPU_MODEL, MLCOST_GPUS).
        folder: the run folder; outside Slurm the number of earlier local attempts is counted there.
    """
    job_id = job_id_from(environment)
    if job_id == "local":
        restart = sum(1 for attempt in read_attempts(folder) if attempt.job_id == "local")
    else:
        restart = _whole(environment.get("SLURM_RESTART_COUNT"))
    now = utc_now()
    return Attempt(
        job_id=job_id,
        restart=restart,
        started=now,
        updated=now,
        gpu_model=environment.get("MLCOST_GPU_MODEL") or None,
        gpus=_whole(environment.get("MLCOST_GPUS")),
    )


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def attempt_path(folder: Path, attempt: Attempt) -> Path:
    """Return where the record of ``attempt`` is kept under the run folder."""
    return folder / "attempts" / f"{attempt.job_id}.{attempt.restart}.json"


def write_attempt(folder: Path, attempt: Attempt) -> Path:
    """Write the record in one step and return its path.

    Raises:
        OSError: the run folder cannot be written.
    """
    path = attempt_path(folder, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_file(path, msgspec.json.encode(attempt) + b"\n")
    return path


def read_attempt(path: Path) -> Attempt:
    """Read one record.

    Raises:
        CheckpointError: the file is missing or is not such a record.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Attempt)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"{path} is not a record of a training attempt: {error}"
        raise CheckpointError(msg) from error


def read_attempts(folder: Path | str | os.PathLike[str]) -> list[Attempt]:
    """Return all attempts of the run in ``folder``, oldest first; an empty list when there are none.

    Raises:
        CheckpointError: one of the records cannot be read.
    """
    paths = (Path(folder) / "attempts").glob("[!.]*.json")
    return sorted(
        (read_attempt(path) for path in paths), key=lambda attempt: (attempt.started, attempt.restart)
    )


def observed_seconds(records: Sequence[Attempt]) -> float:
    """Return how long the attempts ran together, in seconds, as far as their records tell."""
    return sum(
        (datetime.fromisoformat(last) - datetime.fromisoformat(record.started)).total_seconds()
        for record in records
        if (last := record.ended or record.updated) is not None
    )
