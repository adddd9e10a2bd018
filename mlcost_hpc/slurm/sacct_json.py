"""Answers of ``sacct --json`` -> :class:`~mlcost_hpc.slurm.api.Run` records and rejects (pure).

The form changes with the release: ``state.current`` is a word up to 23.02 and a list of words since; numbers
that may be missing are plain, null, or ``{set, infinite, number}``. Only 26.05 and later say a run's index
(``sluid``); without it a run is known by its job id and submit time, like a saved text without DBIndex.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mlcost_hpc.errors import UnitError, UsageError
from mlcost_hpc.slurm.api import Reject, Run, RunAnswer
from mlcost_hpc.slurm.parse_runs import reservation_of
from mlcost_hpc.slurm.values import parse_tres_cached, text_or_empty

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without I, L, O and U, in which Slurm writes a sluid."""

# Where a run has several words, the text form prints the first of these, else the base state.
_SHOWN_FIRST = (
    "COMPLETING", "CONFIGURING", "REVOKED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "STOPPED",
    "REQUEUED", "RESIZING", "SIGNALING", "STAGE_OUT", "LAUNCH_FAILED",
)  # fmt: skip


def parse_json_runs(text: str) -> RunAnswer:
    """Return the runs of a document and what could not be read of it; its steps are passed over.

    Lines before the document (a login banner) are passed over too.

    Raises:
        UsageError: when the text is no answer of ``sacct --json``.
    """
    begin = 0 if text.startswith("{") else text.find("\n{") + 1
    try:
        document = msgspec.json.decode(text[begin:].encode())
    except msgspec.DecodeError as error:
        raise UsageError(f"this is no whole answer of sacct --json: {error}") from None
    jobs = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(jobs, list):
        raise UsageError("this is no answer of sacct --json: it has no list of jobs")
    runs, rejects = [], []
    for job in jobs:
        try:
            runs.append(_run(job))
        except (UnitError, KeyError, TypeError, ValueError, AttributeError) as error:
            shown = msgspec.json.encode(job).decode()
            rejects.append(Reject(text=shown, why=f"not a job as sacct --json prints it: {error}"))
    return RunAnswer(runs=tuple(runs), rejects=tuple(rejects))


def parse_sluid(text: str) -> str:
    """Return the number of a sluid (``s8SNM88RKJ3A00``) as sacct prints it as DBIndex; empty for none.

    Raises:
        UnitError: when it is none.
    """
    if not text:
        return ""
    number = 0
    for letter in text[1:].upper():
        digit = _DIGITS.find(letter)
        if digit < 0:
            raise UnitError(f"{text!r} is not a sluid")
        number = number * len(_DIGITS) + digit
    return str(number)


def _run(job: dict[str, Any]) -> Run:
    time = job["time"]
    state = _state(job["state"]["current"])
    allocated = _tres(job["tres"]["allocated"])
    return Run(
        cluster=job["cluster"],
        job_id=_job_id(job),
        raw_job_id=str(int(job["job_id"])),
        db_index=parse_sluid(_text(job.get("sluid"))),
        user=_text(job.get("user")) or _text(job["association"]["user"]),
        account=_text(job.get("account")),
        partition=_text(job.get("partition")),
        qos=_text(job.get("qos")),
        state=state,
        submitted=_moment(time["submission"]),
        eligible=_moment(time.get("eligible")),
        started=_moment(time["start"]),
        ended=_moment(time["end"]),
        elapsed_s=_number(time["elapsed"]) or 0,
        suspended_s=_number(time.get("suspended")) or 0,
        time_limit_s=_minutes(time.get("limit")),
        allocated=parse_tres_cached(allocated),
        requested=parse_tres_cached(_tres(job["tres"].get("requested"))),
        node_count=_number(job.get("allocation_nodes")) or 0,
        node_list=text_or_empty(_text(job.get("nodes"))),
        name=_text(job.get("name")),
        comment=_text((job.get("comment") or {}).get("job")),
        wckey=_text((job.get("wckey") or {}).get("wckey")),
        reservation=_reservation(job.get("reservation") or {}),
    )


def _job_id(job: dict[str, Any]) -> str:
    """Return the id as the text form prints it: ``17``, ``17_3``, ``17_[4-9]``, ``17+1``."""
    array, het = job.get("array") or {}, job.get("het") or {}
    if array.get("job_id"):
        task = _number(array.get("task_id"))
        waiting = _text(array.get("task"))
        if waiting:
            return f"{array['job_id']}_[{waiting}]"
        if task is not None:
            return f"{array['job_id']}_{task}"
    if het.get("job_id"):
        return f"{het['job_id']}+{_number(het.get('job_offset')) or 0}"
    return str(int(job["job_id"]))


def _reservation(told: dict[str, Any]) -> str:
    return reservation_of(_text(told.get("name")), str(_number(told.get("id")) or 0))


def _state(current: object) -> str:
    words = [current] if isinstance(current, str) else list(current)  # type: ignore[call-overload]
    if not words or not all(isinstance(word, str) and word for word in words):
        raise UnitError("no state")
    return next((word for word in _SHOWN_FIRST if word in words), str(words[0]))


def _tres(entries: list[dict[str, Any]] | None) -> str:
    """Return a list of resources as the text form prints it; memory is in MiB."""
    parts = []
    for entry in entries or ():
        count = entry.get("count")
        if count is None or count < 0:
            continue
        kind, name = entry["type"], _text(entry.get("name"))
        parts.append(f"{kind}/{name}={count}" if name else f"{kind}={count}{'M' if kind == 'mem' else ''}")
    return ",".join(parts)


def _number(value: object) -> int | None:
    """Return a number in any release's form; None where it is missing or endless."""
    if isinstance(value, dict):
        return int(value["number"]) if value.get("set") and not value.get("infinite") else None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise UnitError(f"{value!r} is not a number")


def _moment(value: object) -> int | None:
    number = _number(value)
    return number if number and 0 < number < _SENTINELS_BEGIN else None


def _minutes(value: object) -> int | None:
    number = _number(value)
    return None if number is None or number >= _SENTINELS_BEGIN else number * 60


def _text(value: object) -> str:
    """Return a text; empty for null and for the 0 that 22.05 prints for no name."""
    return value if isinstance(value, str) else ""


_SENTINELS_BEGIN = 4_294_967_294
