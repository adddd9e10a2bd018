"""The program of an array task: ``python -m mlcost_hpc.compress.task --work FILE``.

``FILE`` lists the tasks of the whole array; ``MLCOST_TASK_ID`` says which entry this one does. Each task
runs in a process of its own: when a library crashes, hangs or is killed for its memory, the row says so and
the next task of the pack goes on.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.batch import Batch, read_json
from mlcost_hpc.compress.failure import PASSING, Explanation, explain, explain_exit
from mlcost_hpc.compress.node import cpus_of_job, job_name
from mlcost_hpc.compress.records import Kind, Result
from mlcost_hpc.compress.standing import worth_measuring
from mlcost_hpc.errors import CompressError, MlcostError, UsageError
from mlcost_hpc.train.requeue import EXIT_REQUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.compress.manifest import Manifest, Task

SAMPLE_SHARES = (1.0, 0.5, 0.125)
"""Part of the calibration samples at each try; fewer after the memory did not suffice."""

EXIT_OUT_OF_MEMORY = 77

_PR_SET_PDEATHSIG = 1
"""Linux: the signal a process gets when its parent dies, however that dies."""

PRELOADED = ("mlcost_hpc.compress.worker", "onnx", "onnxruntime.quantization", "onnxslim")
"""What nearly every task needs, loaded once for all tasks of this process."""

PATIENCE_S = 10.0
"""Seconds between telling a task that takes too long to stop and ending it."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One array job's work.

    Attributes:
        batch: the batch folder.
        kind: ``task``: do tasks; ``prepare``: make what the tasks of a model share; ``check``: run what tasks
            made and compare its answers; ``measure``: time the candidates of a model's front again.
        packs: array index -> ids of the tasks (names of the models) it does, one after the other.
    """

    batch: str
    kind: Kind = "task"
    packs: tuple[tuple[str, ...], ...]


def do_task(batch: Batch, manifest: Manifest, task: Task) -> Result:
    """Do a task in a process of its own and return its row; a row that is there already is kept.

    Raises:
        OSError: the row cannot be written.
    """
    done = batch.row(task)
    if done is not None and not should_rerun(done):
        return done
    batch.result_path(task.id).unlink(missing_ok=True)
    said = Explanation(cause="crash", reason="nothing ran", next_step="")
    for share in SAMPLE_SHARES:
        arguments = (str(batch.folder), task.id, share)
        code, out_of_time = _in_child(_child, arguments, 60 * manifest.task_minutes)
        row = batch.row(task)
        if row is not None:
            return row
        if not out_of_time:
            stop_if_told(code)
        said = (
            explain(MemoryError("the memory of this task does not suffice"))
            if code == EXIT_OUT_OF_MEMORY
            else explain_exit(code, out_of_time=out_of_time)
        )
        if said.cause != "memory":
            break
    row = ended_early(batch.so_far(task.id), task, said)
    batch.write_result(row)
    batch.so_far_path(task.id).unlink(missing_ok=True)
    return row


def ended_early(so_far: Result | None, task: Task, said: Explanation) -> Result:
    """Return the row of a task that did not end by itself.

    Its best candidate is kept. What was not within the limits after a quick look has its verdict; what was
    within them has not been measured thoroughly and is no success yet.
    """
    now = round(time.time(), 3)
    if so_far is None:
        so_far = Result(
            task=task.id, model=task.model, recipe=task.recipe.name, status="failed", reason=said.reason
        )
    if so_far.status in ("ok", "failed"):
        return msgspec.structs.replace(
            so_far,
            status="failed",
            reason=said.reason,
            next_step=said.next_step,
            cause=said.cause,
            finished=now,
        )
    note = f"the task ended early ({said.reason}): best of the settings tried, measured quickly"
    return msgspec.structs.replace(so_far, notes=(*so_far.notes, note), finished=now)


def should_rerun(result: Result) -> bool:
    """Return whether a row's failure may be gone at the next try."""
    return result.status == "failed" and result.cause in PASSING


def do_pack(work: Work, index: int, say: Callable[[str], None]) -> None:
    """Do the tasks of one array index.

    Raises:
        UsageError: the index is not in the list.
        CompressError: the batch cannot be read.
    """
    if not 0 <= index < len(work.packs):
        raise UsageError(f"array index {index} is not among the {len(work.packs)} entries of the work list")
    batch = Batch(Path(work.batch))
    manifest = batch.manifest()
    for name in work.packs[index]:
        if work.kind == "prepare":
            code, _ = _in_child(_prepare, (work.batch, name), 60 * manifest.task_minutes)
            stop_if_told(code)
            say(f"{name}: {'prepared' if code == 0 else 'not prepared: its tasks will say why'}")
        elif work.kind == "check":
            code, _ = _in_child(_check, (work.batch, name), 60 * manifest.task_minutes)
            stop_if_told(code)
            say(f"{name}: {'checked' if code == 0 else 'not checked: see its log.txt'}")
        elif work.kind == "measure":
            for task in to_measure(batch, manifest, name):
                code, _ = _in_child(_measure, (work.batch, task.id), 60 * manifest.task_minutes)
                stop_if_told(code)
                how = "measured" if code == 0 else "not measured: see its log.txt"
                say(f"{name} {task.recipe.name}: {how}")
        else:
            row = do_task(batch, manifest, manifest.task(name))
            say(f"{row.model} {row.recipe}: {row.status}: {row.reason}")


def to_measure(batch: Batch, manifest: Manifest, model: str) -> list[Task]:
    """Return a model's tasks that deserve to be measured again, as its rows are now.

    What this very job has measured before it was requeued is done.
    """
    from mlcost_hpc.compress.alone import measured_by

    tasks = tuple(task for task in manifest.tasks if task.model == model)
    chosen = worth_measuring(batch.results(tasks))
    job = job_name(os.environ)
    return [task for task in tasks if task.id in chosen and not measured_by(batch, task.id, job)]


def main(argv: list[str] | None = None) -> int:
    """Run one array task; returns the exit code."""
    parser = argparse.ArgumentParser(description="Do the compression tasks of one array index.")
    parser.add_argument("--work", type=Path, required=True, help="the work list")
    parser.add_argument("--index", type=int, help="entry to do (default: $MLCOST_TASK_ID)")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: sys.exit(EXIT_REQUEUE))
    index = arguments.index if arguments.index is not None else os.environ.get("MLCOST_TASK_ID", "")
    try:
        if not str(index).isdigit():
            raise UsageError("no array index: run this as an array task, or give --index")
        do_pack(read_json(arguments.work, Work), int(index), _say)
    except MlcostError as error:
        print(f"mlcost: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"mlcost: {explain(error).reason}", file=sys.stderr)
        return CompressError.exit_code
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def stop_if_told(code: int) -> None:
    """Leave, to be requeued, when the work was ended by a signal that Slurm sends to all processes.

    Raises:
        SystemExit: with the exit code that asks the batch script for a requeue.
    """
    if code in (-signal.SIGTERM, -signal.SIGUSR2, -signal.SIGINT):
        raise SystemExit(EXIT_REQUEUE)


def _in_child(
    function: Callable[..., None], arguments: tuple[object, ...], seconds: float
) -> tuple[int, bool]:
    """Run a function in a fresh process; return its exit code and whether it took too long and was ended.

    The process is split off one that has done no work yet but has loaded the libraries: loading them takes
    longer than many a task does.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the runtime is loaded
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    child = context.Process(target=function, args=arguments, daemon=True)
    child.start()
    child.join(seconds)
    out_of_time = child.exitcode is None
    if out_of_time:
        child.terminate()
        child.join(PATIENCE_S)
        if child.exitcode is None:
            child.kill()
            child.join()
    code = child.exitcode
    child.close()
    return code if code is not None else -9, out_of_time


def _child(folder: str, task_id: str, share: float) -> None:
    """Do one task; its libraries' chatter goes to ``log.txt``."""
    from mlcost_hpc.compress.worker import run_task

    batch = Batch(Path(folder))
    _settle_in(batch.task_folder(task_id))
    manifest = batch.manifest()
    try:
        run_task(batch, manifest, manifest.task(task_id), sample_share=share)
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)


def _prepare(folder: str, model_name: str) -> None:
    """Make what the tasks of one model share."""
    from mlcost_hpc.compress.shared import ensure_shared

    batch = Batch(Path(folder))
    manifest = batch.manifest()
    model = manifest.model(model_name)
    _settle_in(batch.folder / "shared" / f"log-{model.key}")
    ensure_shared(batch, model, manifest.settings)


def _check(folder: str, task_id: str) -> None:
    """Run a task's artefact here and compare its answers."""
    from mlcost_hpc.compress.check import check_here

    batch = Batch(Path(folder))
    manifest = batch.manifest()
    _settle_in(batch.task_folder(task_id))
    check_here(batch, manifest, manifest.task(task_id))


def _measure(folder: str, task_id: str) -> None:
    """Time a task's artefact and the original again."""
    from mlcost_hpc.compress.alone import measure_here

    batch = Batch(Path(folder))
    manifest = batch.manifest()
    _settle_in(batch.task_folder(task_id))
    measure_here(batch, manifest, manifest.task(task_id))


def _settle_in(folder: Path) -> None:
    """Send this process's chatter to a log, keep to the CPUs Slurm gave, and end with the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["OMP_NUM_THREADS"] = str(cpus_of_job(os.environ))


if __name__ == "__main__":
    sys.exit(main())
