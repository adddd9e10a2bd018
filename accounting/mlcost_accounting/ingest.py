"""Accounting rows into the ledger, from a cluster or from saved text; doing it again changes nothing."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.ledger.override_book import keep_overrides_of_runs
from mlcost_accounting.ledger.rejects import keep_rejects
from mlcost_accounting.ledger.runs import Counts, RunWriter
from mlcost_hpc.slurm.api import Run
from mlcost_hpc.slurm.sacct_columns import columns_of, parse_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from zoneinfo import ZoneInfo

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.slurm.api import RunAnswer
    from mlcost_hpc.slurm.sacct_lines import Layout

_RECORD = "json"


class Intake(msgspec.Struct, kw_only=True):
    """What an ingest did so far.

    Attributes:
        counts: what became of the rows.
        rejects: pieces that could not be read.
        characters: text read.
    """

    counts: Counts = msgspec.field(default_factory=Counts)
    rejects: int = 0
    characters: int = 0


class Ingest:
    """Takes accounting rows into a ledger, a part at a time; every part is whole or not there.

    Args:
        ledger: where to.
        kinds: how runs are rated.
        on_progress: called after every part.
    """

    def __init__(
        self,
        ledger: Ledger,
        kinds: Kinds,
        on_progress: Callable[[Intake], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._writer = RunWriter(ledger, kinds)
        self.on_progress = on_progress
        self.intake = Intake()

    def text(
        self,
        parts: Iterable[str],
        layout: Layout,
        *,
        seen: int,
        cluster: str = "",
        zone: ZoneInfo | None = None,
    ) -> None:
        """Take rows as text.

        Args:
            parts: the text, cut anywhere.
            layout: the rows' fields and separator.
            seen: when the rows were read (UTC seconds).
            cluster: cluster of rows that do not name theirs.
            zone: time zone of dates among the values; None = UTC.
        """
        rest = ""
        with _no_collector():
            for part in parts:
                rest = self._part(rest + part, len(part), layout, seen, cluster, zone, last=False)
            self._part(rest, 0, layout, seen, cluster, zone, last=True)

    def answer(self, answer: RunAnswer, *, cluster: str, seen: int) -> None:
        """Take records of a backend that has no text."""
        columns = columns_of(answer.runs)
        self._count(self._writer.write(columns, seen=seen, names=Run.__struct_fields__, separator=_RECORD))
        keep_overrides_of_runs(self._ledger, columns)
        keep_rejects(self._ledger, answer.rejects, cluster=cluster, seen=seen, separator="\x1f")
        self.intake.rejects += len(answer.rejects)

    def _part(
        self,
        text: str,
        size: int,
        layout: Layout,
        seen: int,
        cluster: str,
        zone: ZoneInfo | None,
        *,
        last: bool,
    ) -> str:
        answer = parse_columns(text, layout, cluster=cluster, zone=zone, last=last)
        keep_rejects(self._ledger, answer.rejects, cluster=cluster, seen=seen, separator=layout.separator)
        self.intake.rejects += len(answer.rejects)
        self.intake.characters += size
        self._count(
            self._writer.write(
                answer.columns,
                seen=seen,
                names=layout.names,
                separator=layout.separator,
                zone=zone.key if zone else "",
            )
        )
        keep_overrides_of_runs(self._ledger, answer.columns)
        return answer.rest

    def _count(self, counts: Counts) -> None:
        self.intake.counts.add(counts)
        self.on_progress(self.intake)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep Python's cycle collector from walking over hundreds of thousands of short-lived rows in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
