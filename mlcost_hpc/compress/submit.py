"""Send a batch to Slurm: a first stage for what models share, then one array task a pack of recipes.

Only what is missing is sent; what is queued or running stays; what ran out of memory gets more. Afterwards,
when asked, an array on nodes of its own measures the candidates on each model's front.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.progress import missing, pack
from mlcost_hpc.compress.submissions import (
    Submitted,
    base_memory,
    memory_for,
    names_of,
    read_submitted,
    states_by_task,
    under_way,
    write_submitted,
)
from mlcost_hpc.compress.task import Work
from mlcost_hpc.errors import SlurmError
from mlcost_hpc.launch.array import ArrayOrder
from mlcost_hpc.launch.need import Need
from mlcost_hpc.rates import Resources
from mlcost_hpc.train.atomic import write_file

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal
    from pathlib import Path

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest, Task
    from mlcost_hpc.compress.records import Kind
    from mlcost_hpc.launch.choose import Choice
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.slurm.api import Slurm

Packs = tuple[tuple[str, ...], ...]
EXCLUSIVE = "exclusive"
"""sbatch's option for a node that nobody else uses."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """How to submit.

    Attributes:
        need: what one array task needs; its memory is the least that is asked for.
        per_index: tasks that one array task does, one after the other.
        throttle: most array tasks at a time; None = no limit.
        first_stage: whether what models share is made by an array of its own first.
        options: further sbatch options -> value; empty = an option without one.
    """

    need: Need
    per_index: int = 1
    throttle: int | None = None
    first_stage: bool = True
    options: Mapping[str, str] = {}


def submit(batch: Batch, manifest: Manifest, launcher: Launcher, orders: Orders) -> list[Submitted]:
    """Submit what is missing; returns the array jobs, empty when nothing is.

    Raises:
        NoOfferError: nothing on the cluster fits the need.
        SlurmError: sbatch fails; what was submitted before it is kept.
    """
    earlier = read_submitted(batch)
    said = ask_states(launcher.slurm, earlier)
    states = states_by_task(earlier, said)
    results = {result.task: result for result in batch.results(manifest.tasks)}
    todo = [task for task in missing(manifest.tasks, results) if task.id not in under_way(states)]
    by_memory: dict[int, list[Task]] = defaultdict(list)
    for task in todo:
        first = max(orders.need.memory or 0, base_memory(manifest, task))
        by_memory[memory_for(task, first, earlier, states, results.get(task.id))].append(task)
    done: list[Submitted] = []
    awaited = under_way(states_by_task(earlier, said, "prepare"))
    models = _models_to_prepare(batch, manifest, todo) if orders.first_stage else []
    to_prepare = tuple((name,) for name in models if name not in awaited)
    if to_prepare:
        done += _send(batch, launcher, orders, "prepare", to_prepare, max(by_memory), "")
    first_stage = [item.job for item in done]
    first_stage += [item.job for item in earlier if item.kind == "prepare" and set(names_of(item)) & awaited]
    # Whatever comes of the first stage: a task that finds nothing makes it itself.
    dependency = after_any(first_stage)
    for memory, tasks in sorted(by_memory.items()):
        packs = pack([task.id for task in tasks], orders.per_index)
        done += _send(batch, launcher, orders, "task", packs, memory, dependency)
    return done


def submit_checks(batch: Batch, manifest: Manifest, launcher: Launcher, orders: Orders) -> list[Submitted]:
    """Submit a check of every candidate within its limits; returns the array jobs.

    Raises:
        NoOfferError: nothing on the cluster fits the need.
        SlurmError: sbatch fails.
    """
    good = {result.task for result in batch.results(manifest.tasks) if result.status == "ok"}
    tasks = [task for task in manifest.tasks if task.id in good]
    if not tasks:
        return []
    memory = max(orders.need.memory or 0, *(base_memory(manifest, task) for task in tasks))
    packs = pack([task.id for task in tasks], orders.per_index)
    return _send(batch, launcher, orders, "check", packs, memory, "")


def submit_measurements(
    batch: Batch,
    manifest: Manifest,
    launcher: Launcher,
    orders: Orders,
    *,
    models: Collection[str],
    after: Sequence[str] = (),
) -> list[Submitted]:
    """Submit the measurement of models' fronts, as they will be when it runs, on nodes of their own.

    Args:
        batch: the batch folder.
        manifest: its manifest.
        launcher: submits.
        orders: how.
        models: names of the models.
        after: jobs that must have ended before.

    Raises:
        NoOfferError: nothing on the cluster fits the need.
        SlurmError: sbatch fails.
    """
    tasks = [task for task in manifest.tasks if task.model in models]
    if not tasks:
        return []
    memory = max(orders.need.memory or 0, *(base_memory(manifest, task) for task in tasks))
    packs = pack(list(dict.fromkeys(task.model for task in tasks)), orders.per_index)
    alone = msgspec.structs.replace(orders, options={**orders.options, EXCLUSIVE: ""})
    return _send(batch, launcher, alone, "measure", packs, memory, after_any(after))


def after_any(jobs: Sequence[str]) -> str:
    """Return the dependency on the end of jobs, however they end; empty without jobs."""
    return f"afterany:{':'.join(jobs)}" if jobs else ""


def ask_states(slurm: Slurm, submitted: Sequence[Submitted]) -> dict[str, str]:
    """Return array task (``17_3``) -> state word, from accounting and, newer, from the controller."""
    if not submitted:
        return {}
    jobs = [item.job for item in submitted]
    states: dict[str, str] = {}
    try:
        answer = slurm.runs_of(jobs, int(min(item.submitted for item in submitted)) - 60)
        states |= {run.job_id: run.state for run in answer.runs}
    except SlurmError:
        pass  # a cluster without accounting: the controller alone knows, for a few minutes
    states |= {job.job_id: job.state for job in slurm.jobs(jobs)}
    return states


def _models_to_prepare(batch: Batch, manifest: Manifest, todo: Sequence[Task]) -> list[str]:
    """Return the models that several tasks wait for and whose shared work is not done."""
    counts: Mapping[str, int] = {
        name: sum(task.model == name for task in todo) for name in {t.model for t in todo}
    }
    return [
        model.name
        for model in manifest.models
        if counts.get(model.name, 0) > 1 and not (batch.shared(model.key) / "shared.json").exists()
    ]


def _send(
    batch: Batch,
    launcher: Launcher,
    orders: Orders,
    kind: Kind,
    packs: Packs,
    memory: int,
    dependency: str,
) -> list[Submitted]:
    """Submit one array, which the launcher splits where the site wants it, and keep records of its parts."""
    work = _write_work(batch, Work(batch=str(batch.folder), kind=kind, packs=packs))
    choice = launcher.choose(msgspec.structs.replace(orders.need, memory=memory))
    order = ArrayOrder(
        command=(sys.executable, "-m", "mlcost_hpc.compress.task", "--work", str(work)),
        tasks=len(packs),
        name=f"compress-{kind}",
        run_dir=batch.folder / "runs" / work.stem,
        throttle=orders.throttle,
        dependency=dependency,
        extra=orders.options,
    )
    sent: list[Submitted] = []
    first = 0
    for part in launcher.submit_array(order, choice):
        submitted = Submitted(
            job=part.job_id,
            kind=kind,
            packs=packs[first : first + part.array_tasks],
            memory=memory,
            partition=choice.best.offer.partition,
            per_hour=_whole_node(launcher, choice) if EXCLUSIVE in orders.options else choice.best.per_hour,
            currency=part.currency,
            submitted=time.time(),
        )
        write_submitted(batch, submitted)
        sent.append(submitted)
        first += part.array_tasks
    return sent


def _whole_node(launcher: Launcher, choice: Choice) -> Decimal:
    """Return the price of an hour of a node that nobody else can use: all its CPUs, the memory asked for."""
    best = choice.best
    held = Resources(cpus=best.offer.cpus_per_node, memory=best.shape.memory)
    return launcher.card.per_hour(held, best.offer.partition, choice.need.qos or "")


def _write_work(batch: Batch, work: Work) -> Path:
    folder = batch.folder / "work"
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.json"
    write_file(path, msgspec.json.encode(work))
    return path
