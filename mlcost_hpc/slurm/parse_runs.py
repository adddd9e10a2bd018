"""``sacct`` -> :class:`~mlcost_hpc.slurm.api.Run` records and rejects (pure)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError, UnitError
from mlcost_hpc.slurm.api import Reject, Run, RunAnswer
from mlcost_hpc.slurm.commands import SACCT_NEEDED
from mlcost_hpc.slurm.rows import split_rows
from mlcost_hpc.slurm.scontrol_text import check_whole
from mlcost_hpc.slurm.values import NOTHING, parse_count, parse_moment, parse_tres_cached, text_or_empty
from mlcost_hpc.units import Tres, parse_elapsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUESTION = "sacct"

_STEP = re.compile(r"\d+(?:_\d+|\+\d+)?\.")
_JOB_ID = re.compile(r"\d+(?:_\d+|_\[[^\]]*\]|\+\d+)?")
_CANCELLED_BY = re.compile(r"CANCELLED by (?P<uid>\d+)")


def parse_runs(text: str, separator: str, fields: Sequence[str]) -> RunAnswer:
    """Return the runs of an answer in its order, and what could not be read.

    A value that a charge depends on (times, state, what was held) must be readable, or the row is a reject;
    any other unreadable value is left empty. Rows of steps (``17.batch``) are passed over.

    Args:
        text: what sacct printed.
        separator: what stands between fields.
        fields: names of the fields in the order asked for; the last must be one that Slurm writes.

    Raises:
        SlurmAnswerError: when the answer is cut off (part of it must not pass for the whole), or when it
            was not asked for the needed fields.
    """
    missing = SACCT_NEEDED - set(fields)
    if missing:
        raise SlurmAnswerError(f"{QUESTION} of this Slurm does not know {', '.join(sorted(missing))}")
    check_whole(text, QUESTION)
    runs: list[Run] = []
    rejects: list[Reject] = []
    for row in split_rows(text, separator, len(fields)):
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        values = dict(zip(fields, row, strict=True))
        if _STEP.match(values["JobID"]):
            continue
        try:
            runs.append(_run(values))
        except UnitError as error:
            rejects.append(Reject(text=separator.join(row), why=str(error)))
    return RunAnswer(runs=tuple(runs), rejects=tuple(rejects))


def parse_state(text: str) -> tuple[str, int | None]:
    """Return the state word and the uid of ``CANCELLED by 1001``.

    A word that ``--parsable2`` would not have cut (``OUT_OF_ME+``, ``CANCELLED+``) is completed; an
    unknown word is kept.
    """
    match = _CANCELLED_BY.match(text)
    if match:
        return "CANCELLED", int(match["uid"])
    word = text.split(" ", 1)[0].upper()
    if word.endswith("+"):
        beginning = word.removesuffix("+")
        word = next((state for state in _LONG_STATES if state.startswith(beginning)), beginning)
    return word, None


def reservation_of(name: str, number: str) -> str:
    """Return a reservation's name; ``#7`` where only its number is told.

    A run that started in the very second in which its reservation began, or was changed, has no name.
    """
    return text_or_empty(name) or (f"#{number}" if number.strip("0") else "")


_LONG_STATES = ("CANCELLED", "OUT_OF_MEMORY")


def _run(values: Mapping[str, str]) -> Run:
    job_id = values["JobID"]
    if not _JOB_ID.fullmatch(job_id):
        raise UnitError(f"{job_id!r} is not a job id")
    state, cancelled_by = parse_state(values["State"])
    if not state:
        raise UnitError("no state")
    ended = parse_moment(values["End"])
    started = parse_moment(values["Start"])
    return Run(
        cluster=values["Cluster"],
        job_id=job_id,
        raw_job_id=values["JobIDRaw"],
        db_index=text_or_empty(values.get("DBIndex", "")),
        user=text_or_empty(values.get("User", "")),
        uid=_optional_count(values.get("UID", "")),
        account=text_or_empty(values.get("Account", "")),
        partition=text_or_empty(values.get("Partition", "")),
        qos=text_or_empty(values.get("QOS", "")),
        state=state,
        cancelled_by=cancelled_by,
        submitted=parse_moment(values["Submit"]),
        eligible=parse_moment(values.get("Eligible", "")),
        started=started,
        ended=ended,
        elapsed_s=parse_count(values["ElapsedRaw"]) or 0,
        suspended_s=_suspended(values.get("Suspended", "")),
        time_limit_s=_time_limit(values.get("TimelimitRaw", "")),
        allocated=parse_tres_cached(values.get("AllocTRES", "")),
        requested=_optional_tres(values.get("ReqTRES", "")),
        node_count=_optional_count(values.get("NNodes", "")) or 0,
        node_list=text_or_empty(values.get("NodeList", "")),
        exit_code=values.get("ExitCode", ""),
        name=values.get("JobName", ""),
        comment=values.get("Comment", ""),
        wckey=text_or_empty(values.get("WCKey", "")),
        reservation=reservation_of(values.get("Reservation", ""), values.get("ReservationId", "")),
    )


def _suspended(text: str) -> int:
    return 0 if text in NOTHING else parse_elapsed(text)


def _time_limit(text: str) -> int | None:
    """Return the seconds of a limit in minutes; None for ``UNLIMITED``, ``Partition_Limit`` or none."""
    minutes = _optional_count(text)
    return None if minutes is None else minutes * 60


def _optional_count(text: str) -> int | None:
    try:
        return parse_count(text)
    except UnitError:
        return None


def _optional_tres(text: str) -> Tres:
    try:
        return parse_tres_cached(text)
    except UnitError:
        return Tres()
