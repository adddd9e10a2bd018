"""Gathers what a choice rests on besides offers: the site's past, and speeds measured by earlier runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.launch.evidence import Evidence
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.launch.measured import Measured
    from mlcost_hpc.launch.record import Submission
    from mlcost_hpc.launch.speed import Measurement
    from mlcost_hpc.train.attempts import Attempt

_MOST_RUNS = 200
_START_UP_S = 30.0  # launching, importing torch, building the model: before the loop can take the time


def gather(launcher: Launcher, command: Sequence[str]) -> Evidence:
    """Return everything known here about a command: the past of the cluster and measured speeds.

    Args:
        launcher: the launcher of this cluster.
        command: the words of the command, or one ``module:function``.
    """
    import msgspec

    from mlcost_hpc.launch.history import read_history
    from mlcost_hpc.launch.interruption import Costs
    from mlcost_hpc.launch.record import fingerprint, program_fingerprint, recent_run_dirs, state_folder

    cluster = launcher.market.settings.cluster
    history = read_history(launcher.slurm, state_folder() / "history" / f"{cluster}.json")
    job = fingerprint(command, Path.cwd())
    found, save_s, restart_s = measurements(recent_run_dirs(cluster, _MOST_RUNS), job)
    costs = Costs(
        save_s=Costs().save_s if save_s is None else save_s,
        restart_s=Costs().restart_s if restart_s is None else _START_UP_S + restart_s,
    )
    known = _with_kept(state_folder() / "speeds" / f"{cluster}.json", found)
    own = [item for item in known if item.job == job]
    others = [item for item in known if item.job != job]
    evidence = launcher.evidence(history, own=own, others=others, costs=costs)
    return msgspec.structs.replace(evidence, job=job, program=program_fingerprint(command, Path.cwd()))


def _with_kept(path: Path, found: Sequence[Measured]) -> list[Measurement]:
    """Return what was found and what was kept of runs whose folders are gone; keep it all."""
    from mlcost_hpc.launch.measured import keep, kept_measurements, merge

    kept = kept_measurements(path)
    known = merge(kept, found)
    if known != kept:
        with suppress(OSError):  # a full home folder must not keep anybody from submitting
            keep(path, known)
    return [item.measurement for item in known]


def measurements(run_dirs: Sequence[Path], job: str) -> tuple[list[Measured], float | None, float | None]:
    """Return the speeds that runs measured, and how long this job's last save and restart took.

    Damaged records, and those of other versions, are passed over.

    Args:
        run_dirs: folders of runs, newest first.
        job: fingerprint of the job whose save and restart times are wanted.
    """
    from mlcost_hpc.errors import MlcostError
    from mlcost_hpc.launch.record import read_submission
    from mlcost_hpc.train.attempts import read_attempts

    found: list[Measured] = []
    save_s = restart_s = None
    for run_dir in run_dirs:
        try:
            submission, attempts = read_submission(run_dir), read_attempts(run_dir)
        except MlcostError:
            continue
        for attempt in reversed(attempts):
            measured = _measured(submission, attempt)
            found += [measured] if measured is not None else []
            if submission.job == job:
                save_s = attempt.save_seconds if save_s is None else save_s
                restart_s = attempt.restore_seconds if restart_s is None else restart_s
    return found, save_s, restart_s


def _measured(submission: Submission, attempt: Attempt) -> Measured | None:
    from mlcost_hpc.launch.measured import Measured
    from mlcost_hpc.launch.speed import Measurement

    if not attempt.steps_per_second or not attempt.gpu_model or not attempt.gpus:
        return None
    measurement = Measurement(
        gpu_model=attempt.gpu_model,
        gpus=attempt.gpus,
        per_second=attempt.steps_per_second,
        source="calibration" if submission.calibrates else "history",
        job=submission.job,
        program=submission.program,
        peak_memory=attempt.peak_memory,
    )
    return Measured(measurement=measurement, at=attempt.started)
