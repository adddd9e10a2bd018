"""The Slurm commands this package runs, as argument lists (pure).

``cluster`` is the name for ``-M`` on a multi-cluster site; None asks the local cluster.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SQUEUE_FIELDS = (
    "JobArrayID", "JobID", "UserName", "Account", "Partition", "QOS", "State", "SubmitTime", "StartTime",
    "EndTime", "TimeLimit", "RestartCnt", "tres-alloc", "NodeList", "PreemptTime", "Requeue", "Reason",
    "Name", "Comment", "Cluster",
)  # fmt: skip
"""What squeue is asked for; texts that people write stand before the last field, which Slurm writes."""

SACCT_FIELDS = (
    "JobIDRaw", "JobID", "DBIndex", "User", "UID", "Account", "Partition", "QOS", "State", "Submit",
    "Eligible", "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "AllocTRES", "ReqTRES", "NNodes",
    "NodeList", "ExitCode", "Reservation", "ReservationId", "WCKey", "JobName", "Comment", "Cluster",
)  # fmt: skip
"""What sacct is asked for, where its version knows the field."""

SACCT_NEEDED = frozenset({"JobIDRaw", "JobID", "State", "Submit", "Start", "End", "ElapsedRaw", "Cluster"})
"""Fields without which an accounting row is worthless."""


def new_separator() -> str:
    """Return a field separator that no job name or comment of today can hold.

    Slurm escapes nothing, so a user who knows the separator could write a job name that reads as rows of
    other users. A random part, new in every call, makes that impossible.
    """
    return f"\x1f{token_hex(3)}"


def sinfo_version() -> list[str]:
    """Return the command that tells the version of the installed commands; no daemon is needed."""
    return ["sinfo", "--version"]


def show_config(cluster: str | None = None) -> list[str]:
    """Return the command for the controller's settings."""
    return ["scontrol", *_at(cluster), "show", "config"]


def show_partitions(cluster: str | None = None) -> list[str]:
    """Return the command for all partitions, hidden ones too where the user may see them."""
    return ["scontrol", *_at(cluster), "--oneliner", "--all", "show", "partition"]


def show_nodes(cluster: str | None = None) -> list[str]:
    """Return the command for all nodes with the generic resources in use (``--details``)."""
    return ["scontrol", *_at(cluster), "--oneliner", "--details", "--all", "show", "node"]


def squeue(separator: str, job_ids: Sequence[str] = (), cluster: str | None = None) -> list[str]:
    """Return the command for the jobs the controller knows, array tasks one by one, in any state."""
    # Each field but the last is followed by the separator and is as wide as it needs to be.
    layout = ",".join([f"{field}:{separator}" for field in SQUEUE_FIELDS[:-1]] + [f"{SQUEUE_FIELDS[-1]}:"])
    selection = [f"--jobs={','.join(job_ids)}"] if job_ids else ["--all"]
    return [
        "squeue", *_at(cluster), *selection, "--array", "--noheader", "--states=all", f"--Format={layout}",
    ]  # fmt: skip


def own_scripts(cluster: str | None = None) -> list[str]:
    """Return the command for this user's jobs, finished ones too: ``id|path of the script and arguments``.

    Tasks of an array have the array's id.
    """
    return ["squeue", *_at(cluster), "--me", "--noheader", "--states=all", "--format=%F|%o"]


def sbatch(
    script: str, options: Sequence[str] = (), arguments: Sequence[str] = (), cluster: str | None = None
) -> list[str]:
    """Return the command that submits a script and prints the job's id."""
    return ["sbatch", *_at(cluster), "--parsable", *options, script, *arguments]


def sacct_fields(known: Collection[str]) -> tuple[str, ...]:
    """Return the fields of :data:`SACCT_FIELDS` that this sacct knows.

    Args:
        known: field names in lower case, of :func:`~mlcost_hpc.slurm.parse_config.parse_helpformat`.
    """
    return tuple(field for field in SACCT_FIELDS if field.lower() in known)


def sacct_helpformat() -> list[str]:
    """Return the command that lists the fields sacct knows."""
    return ["sacct", "--helpformat"]


def sacct_window(
    start: int, end: int, *, fields: Sequence[str], separator: str, cluster: str | None = None
) -> list[str]:
    """Return the command for all users' runs that overlap a window of UTC seconds."""
    return [*_sacct(fields, separator, cluster), f"--starttime=uts{start}", f"--endtime=uts{end}"]


def sacct_jobs(
    job_ids: Sequence[str], since: int, *, fields: Sequence[str], separator: str, cluster: str | None = None
) -> list[str]:
    """Return the command for every run of some jobs since a time of UTC seconds."""
    return [*_sacct(fields, separator, cluster), f"--jobs={','.join(job_ids)}", f"--starttime=uts{since}"]


def database_config() -> list[str]:
    """Return the command that shows slurmdbd's settings, after the controller's own."""
    return ["sacctmgr", "show", "configuration"]


def show_accounting(entity: str, *words: str) -> list[str]:
    """Return the question to ``sacctmgr`` for records of a kind, in columns with ``|`` between them.

    Args:
        entity: ``associations``, ``qos``, ``user``, ...
        words: conditions, and the columns as ``format=``.
    """
    return ["sacctmgr", "--noheader", "--parsable2", "--readonly", "show", entity, *words]


def requeue(job_id: str, cluster: str | None = None) -> list[str]:
    """Return the command that requeues a job."""
    return ["scontrol", *_at(cluster), "requeue", job_id]


def cancel(job_ids: Sequence[str], cluster: str | None = None) -> list[str]:
    """Return the command that cancels jobs."""
    return ["scancel", *_at(cluster), *job_ids]


def _sacct(fields: Sequence[str], separator: str, cluster: str | None) -> list[str]:
    return [
        "sacct", *_at(cluster), "--allusers", "--allocations", "--duplicates", "--parsable2", "--noheader",
        "--noconvert", f"--delimiter={separator}", f"--format={','.join(fields)}",
    ]  # fmt: skip


def _at(cluster: str | None) -> list[str]:
    return [f"--clusters={cluster}"] if cluster else []
