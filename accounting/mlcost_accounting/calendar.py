"""Days of a site: where each begins and ends in UTC seconds, the days of 23 and 25 hours included (pure)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    import numpy as np

    Integers = np.ndarray[tuple[int], np.dtype[np.int64]]

_QUARTER = 900
"""Every change of a time zone's offset in use happens at a whole quarter of an hour of UTC."""


class Day(tuple[int, int, int]):
    """A day as (number, first second, first second of the next day); the number is ``date.toordinal()``."""

    __slots__ = ()


class Calendar:
    """Days in one time zone.

    Args:
        zone: the site's time zone.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._of_quarter: dict[int, Day] = {}

    def day_of(self, moment: int) -> Day:
        """Return the day in which a moment (UTC seconds) lies."""
        quarter = moment // _QUARTER
        found = self._of_quarter.get(quarter)
        if found is None:
            day = datetime.fromtimestamp(moment, UTC).astimezone(self.zone).date()
            found = Day((day.toordinal(), self.begins(day), self.begins(day + timedelta(days=1))))
            self._of_quarter[quarter] = found
        return found

    def days_of(self, moments: Integers) -> tuple[Integers, Integers]:
        """Return for each moment its day's number and the first second of the next day."""
        import numpy as np

        if not len(moments):
            return moments, moments
        first, last = (self.day_of(int(moment))[0] for moment in (moments.min(), moments.max()))
        begins = [self.begins(date.fromordinal(day)) for day in range(first, last + 2)]
        position = np.searchsorted(np.array(begins, dtype=np.int64), moments, side="right") - 1
        return position + first, np.array(begins, dtype=np.int64)[position + 1]

    def begins(self, day: date) -> int:
        """Return the first second of a day (UTC)."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield (day number, from, to) of ``[start, stop)``, cut at every midnight.

        An empty span still has the day it lies in.
        """
        number, _, end = self.day_of(start)
        while stop > end:
            yield number, start, end
            start = end
            number, _, end = self.day_of(start)
        yield number, start, stop
