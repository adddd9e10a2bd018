"""Slurm through pyslurm, Slurm's C library in Python: the only module that imports it.

pyslurm answers about the present: settings, partitions, nodes, jobs. Three things it does not know, and what
we do about each (the contract suite names them too):

- **Every run of a requeued job.** Its accounting records are a mapping by job id, in which earlier runs are
  overwritten. Accounting is therefore always asked with ``sacct``.
- **GPUs in use by type where accounting does not track them.** It has no ``GresUsed``, only the tracked
  resources of a node.
- **Billing weights of a partition.** They are left empty.

Importing pyslurm initialises the C library, which ends the whole process when it finds no configuration, and
crashes when it was made for another Slurm. So it is tried in a process of its own first: :func:`try_out`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import msgspec

from mlcost_hpc.errors import SlurmAnswerError, SlurmCommandError, SlurmError
from mlcost_hpc.slurm.api import Job, Node, Partition, RunAnswer, Version
from mlcost_hpc.slurm.cli_backend import CliSlurm
from mlcost_hpc.slurm.gres import gpus_of_tres, parse_gpus
from mlcost_hpc.slurm.hostlist import expand_hostlist, expand_range
from mlcost_hpc.slurm.parse_config import parse_version
from mlcost_hpc.slurm.parse_jobs import is_wanted
from mlcost_hpc.slurm.parse_nodes import parse_states
from mlcost_hpc.slurm.process import failure_of, run
from mlcost_hpc.slurm.values import text_or_empty
from mlcost_hpc.units import Tres, format_duration, parse_tres

_MIB = 1024**2
_UNLIMITED = "UNLIMITED"
_ALL = "ALL"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of trying pyslurm in a process of its own.

    Attributes:
        pyslurm: version of pyslurm; its release is that of the Slurm it was made for. None = it failed.
        slurm: version of the controller that answered it.
        error: why it failed, one line; empty when it worked.
    """

    pyslurm: Version | None = None
    slurm: Version | None = None
    error: str = ""


def is_installed() -> bool:
    """Tell whether there is a pyslurm, without importing it."""
    return find_spec("pyslurm") is not None


def try_out(timeout_s: float) -> Trial:
    """Import pyslurm and ask the controller for its version, in another process that may crash."""
    try:
        output = run([sys.executable, "-m", __name__], timeout_s=timeout_s)
        answer = json.loads(output.stdout)
        return Trial(pyslurm=parse_version(answer["pyslurm"]), slurm=parse_version(answer["slurm"]))
    except SlurmCommandError as error:
        # The last line says what happened; those before it are a traceback or the library's own log.
        said = error.stderr.strip() or error.stdout.strip() or f"it died (exit {error.returncode})"
        return Trial(error=said.split("\n")[-1])
    except SlurmError as error:
        return Trial(error=str(error))
    except (ValueError, KeyError, TypeError):
        return Trial(error=f"it answered {output.stdout.strip()[:80]!r}")


class PyslurmSlurm:
    """A Slurm cluster asked through pyslurm; accounting through ``sacct``.

    Args:
        timeout_s: seconds after which a command (``sacct``) is given up.
    """

    name = "pyslurm"

    def __init__(self, *, timeout_s: float = 30.0) -> None:
        import pyslurm

        self._library: Any = pyslurm
        self._cli = CliSlurm(timeout_s=timeout_s)

    def version(self) -> Version:
        """Return the controller's version."""
        return parse_version(self.config()["SLURM_VERSION"])

    def config(self) -> Mapping[str, str]:
        """Return those of the controller's settings that mean something to us, as scontrol prints them."""
        from pyslurm import slurmctld

        with self._asking("Config.load"):
            return config_texts(slurmctld.Config.load().to_dict())

    def partitions(self) -> tuple[Partition, ...]:
        """Return all partitions the user may see; without their billing weights."""
        with self._asking("Partitions.load"):
            return tuple(_partition(part) for part in self._library.Partitions.load().values())

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes; GPUs in use are those that accounting tracks."""
        with self._asking("Nodes.load"):
            return tuple(_node(node) for node in self._library.Nodes.load().values())

    def jobs(self, job_ids: Sequence[str] = ()) -> tuple[Job, ...]:
        """Return the jobs the controller knows; only those with the given ids when there are any."""
        with self._asking("Jobs.load"):
            jobs = tuple(job for record in self._library.Jobs.load().values() for job in _jobs(record))
        if not job_ids:
            return jobs
        wanted = frozenset(job_ids)
        return tuple(job for job in jobs if is_wanted(job, wanted))

    def runs(self, start: int, end: int) -> RunAnswer:
        """Return accounting rows of a window, asked with sacct."""
        return self._cli.runs(start, end)

    def runs_of(self, job_ids: Sequence[str], since: int) -> RunAnswer:
        """Return accounting rows of some jobs, asked with sacct."""
        return self._cli.runs_of(job_ids, since)

    @contextmanager
    def _asking(self, question: str) -> Iterator[None]:
        """Ask the library something: whole lists of array tasks, failures as our errors."""
        with _whole_task_lists():
            try:
                yield
            except self._library.PyslurmError as error:
                failure = failure_of(["pyslurm", question], 1, "", str(error))
                raise failure or SlurmAnswerError(str(error)) from None


_environment_lock = threading.Lock()


@contextmanager
def _whole_task_lists() -> Iterator[None]:
    """Let the C library write lists of waiting array tasks whole; it reads this only from the environment."""
    with _environment_lock:
        before = os.environ.get("SLURM_BITSTR_LEN")
        os.environ["SLURM_BITSTR_LEN"] = "0"
        try:
            yield
        finally:
            if before is None:
                del os.environ["SLURM_BITSTR_LEN"]
            else:
                os.environ["SLURM_BITSTR_LEN"] = before


def config_texts(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Return pyslurm's typed settings under the names and in the texts of ``scontrol show config``."""
    return {
        "ClusterName": _text(settings["cluster_name"]),
        "SLURM_VERSION": _text(settings["version"]),
        "AccountingStorageType": _text(settings["accounting_storage_type"]),
        "AccountingStorageTRES": _text(settings["accounting_storage_tres"]),
        "AccountingStorageEnforce": _text(settings["accounting_storage_enforce"]).lower(),
        "AccountingStoreFlags": _text(settings["accounting_store_flags"]).lower(),
        "AuthInfo": _text(settings["auth_info"]),
        "GresTypes": _text(settings["gres_types"]),
        "JobRequeue": _text(settings["job_requeue"]),
        "KillWait": f"{settings['kill_wait_time'] or 0} sec",
        "MaxArraySize": _text(settings["max_array_size"]),
        "MinJobAge": f"{settings['min_job_age'] or 0} sec",
        "OverTimeLimit": _text(settings["over_time_limit"]) or "0 min",
        "PreemptExemptTime": format_duration(settings["preempt_exempt_time"] or 0),
        "PreemptMode": _text(settings["preempt_mode"]),
        "PreemptParameters": _text(settings["preempt_parameters"]),
        "PreemptType": _text(settings["preempt_type"]),
        "PrivateData": _text(settings["private_data"]).lower(),
        "SchedulerParameters": _text(settings["scheduler_parameters"]),
        "SchedulerType": _text(settings["scheduler_type"]),
        "SlurmctldParameters": _text(settings["slurmctld_parameters"]),
    }


def _text(value: object) -> str:
    """Return a typed setting as Slurm writes it: lists with commas, switches as ``1`` and ``0``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        return ",".join(
            name if on is True else f"{name}={_text(on)}" for name, on in value.items() if on is not False
        )
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item) for item in value)
    return str(value)


def _partition(record: Any) -> Partition:
    return Partition(
        name=record.name,
        state=record.state,
        is_default=record.is_default,
        node_names=expand_hostlist(record.nodes or ""),
        max_time_s=_minutes(record.max_time),
        default_time_s=_minutes(record.default_time),
        priority_tier=record.priority_tier,
        preempt_mode=record.preempt_mode,
        grace_time_s=record.preemption_grace_time or 0,
        max_nodes=None if record.max_nodes == _UNLIMITED else record.max_nodes,
        allow_accounts=_allowed(record.allowed_accounts, record.denied_accounts),
        deny_accounts=_denied(record.denied_accounts),
        allow_qos=_allowed(record.allowed_qos, record.denied_qos),
        deny_qos=_denied(record.denied_qos),
        allow_groups=_allowed(record.allowed_groups, ()),
        qos=record.qos or "",
        exclusive=record.oversubscribe == "EXCLUSIVE",
        needs_reservation=record.requires_reservation,
        root_only=record.is_root_only,
    )


def _node(record: Any) -> Node:
    gpus = parse_gpus(",".join(f"{name}:{count}" for name, count in (record.configured_gres or {}).items()))
    held = parse_tres(",".join(f"{name}={count}" for name, count in (record.allocated_tres or {}).items()))
    return Node(
        name=record.name,
        states=parse_states(record.state),
        cpus=record.total_cpus,
        cpus_allocated=record.allocated_cpus,
        memory=record.real_memory * _MIB,
        memory_allocated=(record.allocated_memory or 0) * _MIB,
        gpus=gpus,
        gpus_allocated=gpus_of_tres(held, gpus),
        partitions=tuple(record.partitions or ()),
        features=tuple(record.available_features or ()),
    )


def _jobs(record: Any) -> Iterator[Job]:
    """Yield a job, or each waiting task of an array's record."""
    if record.array_tasks_waiting:
        for task in _tasks(str(record.array_tasks_waiting)):
            yield _job(record, f"{record.array_id}_{task}")
    elif record.array_id and (record.array_task_id or _is_first_task(record)):
        yield _job(record, f"{record.array_id}_{record.array_task_id or 0}")
    elif record.heterogeneous_id:
        yield _job(record, f"{record.heterogeneous_id}+{record.heterogeneous_offset or 0}")
    else:
        yield _job(record, str(record.id))


def _is_first_task(record: Any) -> bool:
    """Tell task 0 from the record of a whole array that was cancelled while it waited.

    pyslurm takes the index 0 for "none". The record of the whole has the array's own id and never held a
    node; a task that has that id (the last one to start) did.
    """
    return record.id != record.array_id or bool(record.allocated_nodes)


def _tasks(text: str) -> Iterator[str]:
    """Yield the indices of ``2-3,7,10-20:5%4``."""
    if "..." in text:
        raise SlurmAnswerError(f"pyslurm cut a list of array tasks: {text!r}")
    for item in text.partition("%")[0].strip("[]").split(","):
        numbers, _, step = item.partition(":")
        yield from expand_range(numbers, text)[:: int(step or 1)]


def _job(record: Any, job_id: str) -> Job:
    return Job(
        job_id=job_id,
        raw_job_id=str(record.id),
        name=record.name or "",
        user=record.user_name or "",
        account=record.account or "",
        partitions=tuple((record.partition or "").split(",")) if record.partition else (),
        qos=record.qos or "",
        state=record.state,
        reason=text_or_empty(record.state_reason or ""),
        submitted=record.submit_time or None,
        started=record.start_time or None,
        ended=record.end_time or None,
        time_limit_s=_minutes(record.time_limit),
        restarts=record.requeue_count or 0,
        tres=_tres(record),
        node_names=expand_hostlist(record.allocated_nodes or ""),
        preempted=record.preempt_time or None,
        comment=record.comment or "",
        requeue=bool(record.is_requeueable),
    )


def _tres(record: Any) -> Tres:
    """Return what a job holds, or asks for while it holds nothing."""
    held = _tres_entries(record.allocated_tres)
    return parse_tres(",".join(held or _tres_entries(record.requested_tres)))


def _tres_entries(resources: Any) -> list[str]:
    if resources is None:
        return []
    entries = []
    for name in ("cpu", "mem", "node", "billing"):
        resource = getattr(resources, name)
        if resource is not None and resource.count:
            entries.append(f"{name}={resource.count}{'M' if name == 'mem' else ''}")
    return entries + [
        f"gres/{name.removeprefix('gres/')}={item.count}" for name, item in resources.gres.items()
    ]


def _minutes(value: Any) -> int | None:
    """Return seconds of a limit in minutes; None for none."""
    return None if value is None or value == _UNLIMITED else int(value) * 60


def _allowed(names: Sequence[str] | None, denied: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return an allow list, None for "all"; where a deny list holds, all others are allowed."""
    if not names or list(names) == [_ALL] or _denied(denied):
        return None
    return tuple(names)


def _denied(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return a deny list; pyslurm writes ``ALL`` for one that is not set."""
    return () if not names or list(names) == [_ALL] else tuple(names)


def _print_versions() -> None:
    """Say which pyslurm this is and which Slurm answers it; the other half of :func:`try_out`."""
    import pyslurm
    from pyslurm import slurmctld

    answer = {"pyslurm": pyslurm.__version__, "slurm": slurmctld.Config.load().version}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _print_versions()
