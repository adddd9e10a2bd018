"""Accounting rows by the million: sacct's text as columns instead of records (pure).

:func:`parse_columns` says of a text what :func:`mlcost_hpc.slurm.parse_runs.parse_runs` says, column by
column, which is several times faster, and it keeps each row's own text. It also reads rows that were saved by
others: other field lists and separators, dates instead of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from mlcost_hpc.errors import UnitError, UsageError
from mlcost_hpc.slurm.api import Reject, Run
from mlcost_hpc.slurm.parse_runs import parse_state, reservation_of
from mlcost_hpc.slurm.repeated import Repeated, together
from mlcost_hpc.slurm.sacct_lines import Layout, split_lines
from mlcost_hpc.slurm.sacct_times import Moments
from mlcost_hpc.slurm.values import NOTHING, parse_count, parse_limit, parse_tres_cached, text_or_empty
from mlcost_hpc.units import format_tres, parse_elapsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

_T = TypeVar("_T")


class RunColumns(msgspec.Struct, kw_only=True):
    """Accounting rows as columns of one length, named and meant as in :class:`~mlcost_hpc.slurm.api.Run`.

    What a run's price and its place in reports depend on repeats; it comes with the different values told
    apart, so that they are looked up once and not for each run.

    Attributes:
        allocated: AllocTRES as text: each different one is parsed later.
        raw: each row as it came.
    """

    cluster: Repeated[str]
    job_id: Sequence[str]
    raw_job_id: Sequence[str]
    db_index: Sequence[str]
    user: Repeated[str]
    account: Repeated[str]
    partition: Repeated[str]
    qos: Repeated[str]
    state: Repeated[str]
    submitted: Sequence[int | None]
    started: Sequence[int | None]
    ended: Sequence[int | None]
    elapsed_s: Sequence[int]
    suspended_s: Sequence[int]
    time_limit_s: Sequence[int | None]
    allocated: Repeated[str]
    node_count: Repeated[int]
    name: Sequence[str]
    comment: Repeated[str]
    wckey: Repeated[str]
    reservation: Sequence[str]
    raw: Sequence[str]

    def __len__(self) -> int:
        return len(self.raw)

    def without(self, rows: set[int]) -> RunColumns:
        """Return the columns without some rows."""
        kept = np.array([row for row in range(len(self)) if row not in rows], dtype=np.int64)
        columns: dict[str, Any] = {
            name: column.only(kept)
            if isinstance(column, Repeated)
            else [column[row] for row in kept.tolist()]
            for name, column in msgspec.structs.asdict(self).items()
        }
        return RunColumns(**columns)


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
    columns: dict[str, Any] = {
        **{name: [getattr(run, name) for run in runs] for name in _SAME},
        "user": [run.user or (f"uid-{run.uid}" if run.uid is not None else "") for run in runs],
        "allocated": [format_tres(run.allocated) for run in runs],
    }
    columns |= {name: Repeated.of(columns[name]) for name in _REPEATED}
    return RunColumns(**columns, raw=[msgspec.json.encode(run).decode() for run in runs])


class _Fields:
    """Columns of text, turned into columns of values; rows that cannot be read are noted in ``bad``."""

    def __init__(
        self, texts: Mapping[str, Sequence[Any] | Repeated[str]], rows: int, moments: Moments
    ) -> None:
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
            self._column("start"), self._column("end"), started, ended, elapsed, suspended
        )
        job_id = self._column("jobid" if "jobid" in texts else "jobidraw")
        raw_job_id = self._column("jobidraw" if "jobidraw" in texts else "jobid")
        if not all(map(str.isdecimal, job_id)):
            for row, word in enumerate(job_id):
                if not word[:1].isdecimal():
                    self.bad[row] = f"{word!r} is not a job id"
        return RunColumns(
            cluster=self._repeated("cluster")
            if "cluster" in texts
            else Repeated.constant(cluster, self._rows),
            job_id=job_id,
            raw_job_id=raw_job_id,
            db_index=self._indexes(),
            user=self._users(),
            account=self._words("account"),
            partition=self._words("partition"),
            qos=self._words("qos"),
            state=self._parsed(self._repeated("state"), _state, ""),
            submitted=self._times("submit"),
            started=started,
            ended=ended,
            elapsed_s=elapsed,
            suspended_s=suspended,
            time_limit_s=list(self._limits()),
            allocated=self._allocated(),
            node_count=self._counts("nnodes"),
            name=self._column("jobname"),
            comment=self._repeated("comment"),
            wckey=self._words("wckey"),
            reservation=list(self._reservations()),
            raw=raw,
        )

    def _column(self, name: str) -> Sequence[Any]:
        column = self._texts.get(name) or ("",) * self._rows
        return list(column) if isinstance(column, Repeated) else column

    def _repeated(self, name: str) -> Repeated[str]:
        column = self._texts.get(name)
        if column is None:
            return Repeated.constant("", self._rows)
        return column if isinstance(column, Repeated) else Repeated.of(column)

    def _words(self, name: str) -> Repeated[str]:
        return self._repeated(name).map(text_or_empty)

    def _reservations(self) -> Repeated[str]:
        pairs = [self._repeated("reservation"), self._repeated("reservationid")]
        return together(pairs).map(lambda pair: reservation_of(*pair))

    def _indexes(self) -> Sequence[str]:
        """Return DBIndex, in which no text repeats."""
        column = self._column("dbindex")
        return list(map(text_or_empty, column)) if NOTHING.intersection(column) else column

    def _users(self) -> Repeated[str]:
        users = self._words("user")
        if "uid" not in self._texts or all(users.values):
            return users
        return together([users, self._repeated("uid")]).map(
            lambda pair: pair[0] or (f"uid-{pair[1]}" if pair[1] else "")
        )

    def _parsed(self, column: Repeated[str], parse: Callable[[str], _T], empty: _T) -> Repeated[_T]:
        """Return a column of values, each different text parsed once; rows of unreadable ones are noted."""
        values: list[_T] = []
        for code, text in enumerate(column.values):
            try:
                values.append(parse(text))
            except UnitError as error:
                values.append(empty)
                for row in np.flatnonzero(column.codes == code).tolist():
                    self.bad.setdefault(row, str(error))
        return Repeated(values, column.codes)

    def _counts(self, name: str) -> Repeated[int]:
        return self._parsed(self._repeated(name), lambda text: parse_count(text) or 0, 0)

    def _numbers(self, name: str) -> Sequence[int]:
        quick = _quick_numbers(self._column(name))
        return list(self._counts(name)) if quick is None else quick

    def _durations(self, name: str) -> list[int]:
        return list(
            self._parsed(self._repeated(name), lambda text: 0 if text in NOTHING else _duration(text), 0)
        )

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

    def _limits(self) -> Repeated[int | None]:
        if "timelimitraw" in self._texts:
            return self._parsed(self._repeated("timelimitraw"), _minutes, None)
        return self._parsed(self._repeated("timelimit"), parse_limit, None)

    def _allocated(self) -> Repeated[str]:
        if "alloctres" in self._texts:
            return self._parsed(self._words("alloctres"), _tres, "")
        cpus = self._counts("alloccpus" if "alloccpus" in self._texts else "ncpus")
        return together([cpus, self._counts("nnodes")]).map(
            lambda pair: f"cpu={pair[0]},node={pair[1]}" if pair[0] else ""
        )


def _quick_numbers(column: Sequence[Any]) -> Sequence[int] | None:
    """Return a column that is all plain numbers; None when a word or a sentinel is among them."""
    try:
        numbers = column if isinstance(column[0], int) else list(map(int, column))
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


def _tres(text: str) -> str:
    try:
        parse_tres_cached(text)
    except UnitError:
        raise UnitError(f"{text!r} is not a TRES list") from None
    return text


def _nothing() -> RunColumns:
    columns: dict[str, Any] = dict.fromkeys(RunColumns.__struct_fields__, ())
    return RunColumns(**columns | dict.fromkeys(_REPEATED, Repeated.of(())))


_REPEATED = (
    "cluster", "user", "account", "partition", "qos", "state", "allocated", "node_count", "comment", "wckey",
)  # fmt: skip
_SENTINELS_BEGIN = 4_294_967_294
_SAME = tuple(name for name in RunColumns.__struct_fields__ if name not in ("user", "allocated", "raw"))
