"""Accounting rows by the million: sacct's text as columns instead of records (pure).

:func:`parse_columns` says of a text what :func:`mlcost_hpc.slurm.parse_runs.parse_runs` says, column by
column, which is several times faster, and it keeps each row's own text. It also reads rows that were saved by
others: other field lists and separators, dates instead of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mlcost_hpc.errors import UnitError, UsageError
from mlcost_hpc.slurm.api import Reject, Run
from mlcost_hpc.slurm.parse_runs import parse_state
from mlcost_hpc.slurm.sacct_lines import Layout, split_lines
from mlcost_hpc.slurm.sacct_times import Moments
from mlcost_hpc.slurm.values import NOTHING, parse_count, parse_limit, parse_tres_cached
from mlcost_hpc.units import format_tres, parse_elapsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

_T = TypeVar("_T")


class RunColumns(msgspec.Struct, kw_only=True):
    """Accounting rows as columns of one length, named and meant as in :class:`~mlcost_hpc.slurm.api.Run`.

    Attributes:
        allocated: AllocTRES as text: few different ones repeat, so each is parsed once, later.
        raw: each row as it came.
    """

    cluster: Sequence[str]
    job_id: Sequence[str]
    raw_job_id: Sequence[str]
    db_index: Sequence[str]
    user: Sequence[str]
    account: Sequence[str]
    partition: Sequence[str]
    qos: Sequence[str]
    state: Sequence[str]
    submitted: Sequence[int | None]
    started: Sequence[int | None]
    ended: Sequence[int | None]
    elapsed_s: Sequence[int]
    suspended_s: Sequence[int]
    time_limit_s: Sequence[int | None]
    allocated: Sequence[str]
    node_count: Sequence[int]
    name: Sequence[str]
    comment: Sequence[str]
    wckey: Sequence[str]
    reservation: Sequence[str]
    raw: Sequence[str]

    def __len__(self) -> int:
        return len(self.raw)

    def without(self, rows: set[int]) -> RunColumns:
        """Return the columns without some rows."""
        kept = [row for row in range(len(self)) if row not in rows]
        return RunColumns(
            **{name: [column[row] for row in kept] for name, column in msgspec.structs.asdict(self).items()}
        )


class ColumnAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a text, what could not be read of it, and the piece of a row at its end."""

    columns: RunColumns
    rejects: tuple[Reject, ...]
    rest: str


def parse_columns(
    text: str, layout: Layout, *, cluster: str = "", zone: ZoneInfo | None = None, last: bool = True
) -> ColumnAnswer:
    """Return the runs of a text as columns; rows of steps are passed over.

    Args:
        text: rows, each ended by a new line.
        layout: which fields a row has, and what stands between them.
        cluster: the cluster of rows that do not name theirs.
        zone: time zone of dates; None = UTC. Epoch seconds need none.
        last: the text ends here; else an unfinished row at its end is returned as ``rest``.

    Raises:
        UsageError: when a row has no field to tell its cluster and none was given.
    """
    if not cluster and not layout.has("cluster"):
        raise UsageError("the rows do not name their cluster: give its name")
    lines = split_lines(text, layout, last=last)
    if not lines.raw:
        return ColumnAnswer(columns=_nothing(), rejects=lines.rejects, rest=lines.rest)
    fields = _Fields(lines.columns, len(lines.raw), Moments(zone))
    columns = fields.columns(cluster, lines.raw)
    steps = (
        {row for row, job_id in enumerate(columns.job_id) if "." in job_id}
        if "." in "".join(columns.job_id)
        else set()
    )
    rejects = [
        Reject(text=lines.raw[row], why=why) for row, why in sorted(fields.bad.items()) if row not in steps
    ]
    if fields.bad or steps:
        columns = columns.without(steps | set(fields.bad))
    return ColumnAnswer(columns=columns, rejects=(*lines.rejects, *rejects), rest=lines.rest)


def columns_of(runs: Sequence[Run]) -> RunColumns:
    """Return the columns of records, for backends that have no text; the raw row is the record as JSON."""
    return RunColumns(
        **{name: [getattr(run, name) for run in runs] for name in _SAME},
        user=[run.user or (f"uid-{run.uid}" if run.uid is not None else "") for run in runs],
        allocated=[format_tres(run.allocated) for run in runs],
        raw=[msgspec.json.encode(run).decode() for run in runs],
    )


class _Fields:
    """Columns of text, turned into columns of values; rows that cannot be read are noted in ``bad``."""

    def __init__(self, texts: Mapping[str, Sequence[Any]], rows: int, moments: Moments) -> None:
        self._texts = texts
        self._rows = rows
        self._moments = moments
        self.bad: dict[int, str] = {}

    def columns(self, cluster: str, raw: Sequence[str]) -> RunColumns:
        """Return all columns."""
        texts = self._texts
        started, ended = self._times("start"), self._times("end")
        elapsed = self._numbers("elapsedraw") if "elapsedraw" in texts else self._durations("elapsed")
        if "suspended" in texts:
            suspended = self._durations("suspended")
        else:
            suspended = [
                max(0, end - start - ran) if start and end else 0
                for start, end, ran in zip(started, ended, elapsed, strict=True)
            ]
        started, ended = self._moments.agree(
            texts.get("start", ()), texts.get("end", ()), started, ended, elapsed, suspended
        )
        job_id = self._column("jobid" if "jobid" in texts else "jobidraw")
        raw_job_id = self._column("jobidraw" if "jobidraw" in texts else "jobid")
        if not all(map(str.isdecimal, job_id)):
            for row, word in enumerate(job_id):
                if not word[:1].isdecimal():
                    self.bad[row] = f"{word!r} is not a job id"
        return RunColumns(
            cluster=self._column("cluster") if "cluster" in texts else [cluster] * self._rows,
            job_id=job_id,
            raw_job_id=raw_job_id,
            db_index=self._words("dbindex"),
            user=self._users(),
            account=self._words("account"),
            partition=self._words("partition"),
            qos=self._words("qos"),
            state=self._memo("state", _state, ""),
            submitted=self._times("submit"),
            started=started,
            ended=ended,
            elapsed_s=elapsed,
            suspended_s=suspended,
            time_limit_s=self._limits(),
            allocated=self._allocated(),
            node_count=self._numbers("nnodes"),
            name=self._column("jobname"),
            comment=self._column("comment"),
            wckey=self._words("wckey"),
            reservation=self._words("reservation"),
            raw=raw,
        )

    def _column(self, name: str) -> Sequence[str]:
        return self._texts.get(name) or ("",) * self._rows

    def _words(self, name: str) -> Sequence[str]:
        column = self._column(name)
        found = NOTHING.intersection(column) - {""}
        return ["" if word in found else word for word in column] if found else column

    def _users(self) -> Sequence[str]:
        users = self._words("user")
        if "uid" not in self._texts or all(users):
            return users
        uids = self._column("uid")
        return [user or (f"uid-{uid}" if uid else "") for user, uid in zip(users, uids, strict=True)]

    def _memo(self, name: str, parse: Callable[[str], _T], empty: _T) -> list[_T]:
        """Return a column of values, each different text parsed once."""
        column = self._column(name)
        known: dict[str, _T] = {}
        for text in set(column):
            try:
                known[text] = parse(text)
            except UnitError as error:
                known[text] = empty
                self._refuse(column, text, str(error))
        return [known[text] for text in column]

    def _refuse(self, column: Sequence[str], text: str, why: str) -> None:
        """Note the rows of an unreadable text."""
        for row, found in enumerate(column):
            if found == text:
                self.bad.setdefault(row, why)

    def _numbers(self, name: str) -> list[int]:
        quick = _quick_numbers(self._column(name))
        return self._memo(name, lambda text: parse_count(text) or 0, 0) if quick is None else quick

    def _durations(self, name: str) -> list[int]:
        return self._memo(name, lambda text: 0 if text in NOTHING else _duration(text), 0)

    def _times(self, name: str) -> list[int | None]:
        quick = _quick_numbers(self._column(name))
        if quick is not None and min(quick) > 0:
            return list[Any](quick)
        found: list[int | None] = []
        for row, text in enumerate(self._column(name)):
            try:
                found.append(self._moments.parse(text))
            except UnitError as error:
                self.bad.setdefault(row, str(error))
                found.append(None)
        return found

    def _limits(self) -> list[int | None]:
        if "timelimitraw" in self._texts:
            return self._memo("timelimitraw", _minutes, None)
        return self._memo("timelimit", parse_limit, None)

    def _allocated(self) -> Sequence[str]:
        if "alloctres" in self._texts:
            texts = self._words("alloctres")
            for text in set(texts):
                if not _is_tres(text):
                    self._refuse(texts, text, f"{text!r} is not a TRES list")
            return texts
        cpus = self._numbers("alloccpus" if "alloccpus" in self._texts else "ncpus")
        nodes = self._numbers("nnodes")
        return [f"cpu={cpu},node={node}" if cpu else "" for cpu, node in zip(cpus, nodes, strict=True)]


def _quick_numbers(column: Sequence[str]) -> list[int] | None:
    """Return a column that is all plain numbers; None when a word or a sentinel is among them."""
    try:
        numbers = list(map(int, column))
    except ValueError:
        return None
    return numbers if max(numbers) < _SENTINELS_BEGIN and min(numbers) >= 0 else None


def _state(text: str) -> str:
    word, _ = parse_state(text)
    if not word:
        raise UnitError("no state")
    return word


def _duration(text: str) -> int:
    return int(text) if text.isdecimal() else parse_elapsed(text)


def _minutes(text: str) -> int | None:
    """Return the seconds of a limit in minutes; None for any word (``UNLIMITED``, ``Partition_Limit``)."""
    try:
        minutes = parse_count(text)
    except UnitError:
        return None
    return None if minutes is None else minutes * 60


def _is_tres(text: str) -> bool:
    try:
        parse_tres_cached(text)
    except UnitError:
        return False
    return True


def _nothing() -> RunColumns:
    return RunColumns(**{field: [] for field in RunColumns.__struct_fields__})


_SENTINELS_BEGIN = 4_294_967_294
_SAME = tuple(name for name in RunColumns.__struct_fields__ if name not in ("user", "allocated", "raw"))
