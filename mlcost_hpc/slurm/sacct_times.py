"""Times in accounting rows that are not in seconds: dates of some time zone, summer time included (pure)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlcost_hpc.errors import UnitError
from mlcost_hpc.slurm.values import parse_moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


class Moments:
    """Reads times as sacct prints them, in one time zone.

    Slurm prints no offset: in the hour that summer time's end repeats, a text means either of two moments.
    :meth:`agree` chooses those that fit the run's length.

    Args:
        zone: the time zone of dates; None = UTC.
    """

    def __init__(self, zone: ZoneInfo | None) -> None:
        self._zone = zone
        self._midnights: dict[str, int | None] = {}
        self._clocks: dict[str, int] = {}
        self._twice: dict[str, int] = {}

    def parse(self, text: str) -> int | None:
        """Return UTC seconds, the earlier moment where a text means two; None where there is no time.

        Raises:
            UnitError: when the text is no time.
        """
        if len(text) != len("2026-07-31T04:00:28"):
            return parse_moment(text)
        day, clock = text[:10], text[11:]
        try:
            midnight = self._midnights[day]
            seconds = self._clocks[clock]
        except KeyError:
            return self._first_time(text, day, clock)
        return self._odd_day(text) if midnight is None else midnight + seconds

    def agree(
        self,
        start_texts: Sequence[str],
        end_texts: Sequence[str],
        started: list[int | None],
        ended: list[int | None],
        elapsed: Sequence[int],
        suspended: Sequence[int],
    ) -> tuple[list[int | None], list[int | None]]:
        """Return starts and ends in which ambiguous ones were chosen to fit elapsed + suspended time."""
        if not self._twice:
            return started, ended
        starts, ends = list(started), list(ended)
        for row, (first, last) in enumerate(zip(start_texts, end_texts, strict=True)):
            start, end = starts[row], ends[row]
            if start is None or end is None or not (first in self._twice or last in self._twice):
                continue
            length = elapsed[row] + suspended[row]
            choices = [
                (a, b)
                for a in (start, self._twice.get(first, start))
                for b in (end, self._twice.get(last, end))
            ]
            starts[row], ends[row] = min(choices, key=lambda pair: abs(pair[1] - pair[0] - length))
        return starts, ends

    def _first_time(self, text: str, day: str, clock: str) -> int | None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UnitError(f"{text!r} is not a time as Slurm prints it") from None
        if moment.tzinfo is not None or text[10] != "T":
            raise UnitError(f"{text!r} is not a time as Slurm prints it")
        self._clocks[clock] = moment.hour * 3600 + moment.minute * 60 + moment.second
        midnight = datetime.fromisoformat(day).replace(tzinfo=self._zone or UTC)
        begins = int(midnight.timestamp())
        is_whole = int((midnight + _DAY).timestamp()) - begins == _DAY.total_seconds()
        self._midnights[day] = begins if is_whole else None
        return self.parse(text)

    def _odd_day(self, text: str) -> int:
        """Return a moment of a day with 23 or 25 hours."""
        local = datetime.fromisoformat(text).replace(tzinfo=self._zone or UTC)
        first, second = (int(local.replace(fold=fold).timestamp()) for fold in (0, 1))
        if second > first:
            self._twice[text] = second
        return min(first, second)
