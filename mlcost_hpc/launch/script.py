"""What a batch script must say: plain values that the templates turn into text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

import msgspec

from mlcost_hpc.errors import UsageError
from mlcost_hpc.units import format_duration

if TYPE_CHECKING:
    from mlcost_hpc.launch.choose import Candidate, Choice

EXIT_REQUEUE = 85
"""Exit code with which a task says: saved, please requeue me."""

_LONGEST_LEAD_S = 90

RANKS = "ranks.sbatch.j2"
"""Template of jobs of which several processes find each other."""


Processes = Literal["one", "per-gpu", "torchrun"]


class Budgets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a job may be requeued, by reason.

    Attributes:
        preemptions: for a job that needs the place.
        timeouts: at the end of its time limit.
        signals: for any other signal.
        errors: after a failure, when the run had saved more than it began with.
        stalls: times in a row that an attempt may end where it began.
    """

    preemptions: int = 100
    timeouts: int = 20
    signals: int = 10
    errors: int = 2
    stalls: int = 3


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is told about a partition that it may run in.

    Attributes:
        partition: its name.
        per_hour: price of an hour of all the job holds, as text.
        grace_s: seconds between the warning of a preemption there and its end; 0 = none.
    """

    partition: str
    per_hour: str
    grace_s: int


class JobScript(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a template needs.

    Attributes:
        template: file name of the template.
        name: job name.
        run_dir: absolute folder of the run.
        output: absolute path of the log, with Slurm's ``%`` patterns.
        command: the words of the command that srun starts.
        python: words that start torchrun, for ``torchrun.sbatch.j2``.
        partitions: partitions, best first.
        time_limit: Slurm's ``D-HH:MM:SS``.
        nodes, gpus, cpus: nodes; GPUs and CPUs on each.
        tasks_per_node: processes that srun starts on each node.
        memory_mib: MiB on each node.
        gpu_type: GRES type; empty = whichever.
        gpu_model: what the job is told about its GPUs; empty = none or not known.
        account, qos, comment, dependency: as sbatch takes them; empty = not given.
        array: ``0-9%4``; empty = no array.
        first_task: number of the array's first task.
        signal: name of the signal before the time limit, ``USR2`` for processes under srun.
        lead_s: how long before the limit it is sent, seconds.
        preemptible: jobs there can be preempted, or it is not known.
        time_limit_s: the limit in seconds.
        places: what it is told about the partitions it may run in.
        kill_wait_s: seconds between the last TERM and KILL, which it is told; None = not known.
        exports: more environment variables for the tasks.
        budgets: how often it may be requeued.
        replan: Python that is asked on a requeue whether to move (:mod:`mlcost_hpc.launch.replan`); empty =
            the job stays where it is.
        leaves: whether Slurm itself requeues a preempted job that leaves within its grace time.
        headline: one line for a person about why the job goes there.
        extra: further sbatch options, long names without dashes -> value; empty = an option without one.
    """

    template: str
    name: str
    run_dir: str
    output: str
    command: tuple[str, ...]
    partitions: tuple[str, ...]
    python: tuple[str, ...] = ()
    time_limit: str
    time_limit_s: int
    nodes: int = 1
    tasks_per_node: int = 1
    gpus: int = 0
    cpus: int = 1
    memory_mib: int = 0
    gpu_type: str = ""
    gpu_model: str = ""
    account: str = ""
    qos: str = ""
    comment: str = ""
    dependency: str = ""
    array: str = ""
    first_task: int = 0
    signal: str = "USR2"
    lead_s: int = _LONGEST_LEAD_S
    preemptible: bool = False
    places: tuple[Place, ...] = ()
    kill_wait_s: int | None = None
    exports: Mapping[str, str] = {}
    budgets: Budgets = Budgets()
    replan: str = ""
    leaves: bool = False
    headline: str = ""
    extra: Mapping[str, str] = {}


def build_script(
    choice: Choice, *, template: str, name: str, run_dir: str, output: str, command: tuple[str, ...]
) -> JobScript:
    """Return the script of a job that takes the best candidate of a choice.

    Args:
        choice: the ranked offers.
        template: file name of the template.
        name: job name.
        run_dir: absolute folder of the run.
        output: absolute path of the log, with Slurm's ``%`` patterns.
        command: the words of the command.

    Raises:
        UsageError: when a text holds a line break or another control character: sbatch cannot be given it.
    """
    need, best = choice.need, choice.best
    limit = best.forecast.time_limit_s
    for what, text in (("job name", name), ("folder", run_dir), ("account", need.account or "")):
        refuse_control_characters(what, text)
    return JobScript(
        template=template,
        name=name,
        run_dir=run_dir,
        output=output,
        command=command,
        partitions=equal_partitions(choice),
        time_limit=format_duration(limit),
        time_limit_s=limit,
        nodes=best.shape.nodes,
        gpus=best.shape.gpus,
        cpus=best.shape.cpus,
        memory_mib=best.shape.memory // 2**20,
        gpu_type=best.offer.gpu_type,
        gpu_model=best.offer.gpu_model,
        account=need.account or "",
        qos=need.qos or "",
        lead_s=lead_time(limit),
        preemptible=best.offer.can_be_preempted is not False,
        headline=headline(choice),
        places=tuple(place_of(item) for item in equal_places(choice)),
    )


def place_of(candidate: Candidate) -> Place:
    """Return what a job is told about the partition of a candidate."""
    offer = candidate.offer
    grace_s = offer.grace_time_s if offer.preemptible else 0
    return Place(partition=offer.partition, per_hour=f"{candidate.per_hour:.6f}", grace_s=grace_s)


def with_processes(script: JobScript, processes: Processes) -> JobScript:
    """Return a script that starts its command so many times.

    Args:
        script: one that starts it once on each node.
        processes: ``one`` on each node, one ``per-gpu`` (srun's ranks), or as ``torchrun`` starts them.
    """
    if processes == "per-gpu":
        return msgspec.structs.replace(script, template=RANKS, tasks_per_node=max(1, script.gpus))
    if processes == "torchrun":
        first = script.command[0]
        is_python = PurePath(first).name.startswith("python")
        starter = (first, "-m", "torch.distributed.run") if is_python else ("torchrun",)
        command = script.command[1:] if is_python else script.command
        return msgspec.structs.replace(script, template="torchrun.sbatch.j2", python=starter, command=command)
    return script


def equal_places(choice: Choice) -> tuple[Candidate, ...]:
    """Return the best candidate and those where the job costs the same, one a partition."""
    best = choice.best
    limit = best.forecast.time_limit_s
    wanted = (best.offer.gpu_type, best.shape, best.per_hour, best.offer.preemptible, best.offer.qos)
    equal = [
        item
        for item in choice.ranked
        if (item.offer.gpu_type, item.shape, item.per_hour, item.offer.preemptible, item.offer.qos) == wanted
        and (item.offer.max_time_s is None or item.offer.max_time_s >= limit)
    ]
    return tuple({item.offer.partition: item for item in (best, *equal)}.values())


def equal_partitions(choice: Choice) -> tuple[str, ...]:
    """Return the partitions where the job costs the same, the best first: Slurm takes what is free first."""
    return tuple(item.offer.partition for item in equal_places(choice))


def lead_time(time_limit_s: int) -> int:
    """Return how long before the time limit a job is told, in seconds: 90, but never a fifth of the limit."""
    return max(1, min(_LONGEST_LEAD_S, time_limit_s // 5))


def headline(choice: Choice) -> str:
    """Return in one line where the job goes and what that costs."""
    best = choice.best
    count = f"{best.shape.gpus * best.shape.nodes} x {best.offer.label}" if best.shape.gpus else "no GPUs"
    sure = "perhaps preemptible" if best.offer.can_be_preempted is None else "guaranteed"
    kind = "preemptible" if best.offer.preemptible else sure
    return f"{best.offer.partition} ({kind}), {count}, {best.per_hour:.4f} per hour, {expected_cost(best)}"


def expected_cost(candidate: Candidate) -> str:
    """Return in words what a candidate is expected to cost."""
    expected = candidate.forecast
    if expected.speed is None:
        return f"at most {expected.cost:.4f} in {format_duration(expected.time_limit_s)}"
    span = f"{expected.cost_low:.4f} to {expected.cost_high:.4f}"
    return f"about {expected.cost:.4f} ({span}) in {expected.hours:.1f} h"


def refuse_control_characters(what: str, text: str) -> None:
    """Raise when a text cannot stand on one line of a batch script.

    Raises:
        UsageError: naming what it is.
    """
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise UsageError(f"the {what} {text!r} holds a control character or line break")
