"""However often, in whatever portions and order the same facts are read, the ledger is the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import NOON, Books, make_kinds, row
from mlcost_accounting.digest import digest

HOUR = 3600
END = NOON + 60 * HOUR


@dataclass(frozen=True)
class Job:
    """One run as it truly happened; ``corrected`` is when an operator closed its record as a runaway."""

    number: int
    submitted: int
    waited: int
    ran: int
    suspended: int
    corrected: int | None

    def as_seen(self, now: int) -> str | None:
        """Return the row that sacct prints at a moment, None before the job is there."""
        if now < self.submitted:
            return None
        start = self.submitted + self.waited
        fields: dict[str, object] = {
            "JobID": self.number, "JobIDRaw": self.number, "DBIndex": 10**19 + self.number,
            "Submit": self.submitted, "Eligible": self.submitted, "TimelimitRaw": 60 * 24 * 10,
        }  # fmt: skip
        if now < start:
            return row(**fields, State="PENDING", Start="Unknown", End="Unknown", ElapsedRaw=0, AllocTRES="")
        end = start + self.ran + self.suspended
        if self.corrected is not None and now >= self.corrected:
            return row(**fields, State="COMPLETED", Start=start, End=start, ElapsedRaw=0)
        if now < end:
            elapsed = max(0, now - start - self.suspended)
            return row(**fields, State="RUNNING", Start=start, End="Unknown", ElapsedRaw=elapsed)
        return row(
            **fields, Start=start, End=end, ElapsedRaw=self.ran, Suspended=f"00:00:{self.suspended:02}"
        )


jobs = st.lists(
    st.tuples(
        st.integers(0, 40 * HOUR), st.integers(0, 5 * HOUR), st.integers(0, 30 * HOUR), st.integers(0, 59),
        st.none() | st.integers(0, 59 * HOUR),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip
polls = st.lists(st.integers(0, 60 * HOUR), max_size=6)


def read_at(books: Books, cluster: list[Job], moments: list[int], seed: int) -> None:
    """Read everything as it was at each moment, in portions of random size and order."""
    chance = random.Random(seed)
    for moment in moments:
        rows = [line for job in cluster if (line := job.as_seen(moment)) is not None]
        chance.shuffle(rows)
        while rows:
            size = chance.randint(1, len(rows))
            books.take(*rows[:size], seen=moment)
            rows = rows[chance.randint(1, size) :]  # portions overlap


@settings(max_examples=60, deadline=None)
@given(facts=jobs, first=polls, second=polls, seed=st.integers(0, 99))
def test_two_polling_rhythms_give_the_same_ledger(
    facts: list[tuple[int, int, int, int, int | None]], first: list[int], second: list[int], seed: int
) -> None:
    """Two ledgers that were read at different moments, one even out of order, end byte for byte alike."""
    cluster = [
        Job(
            number=100 + index,
            submitted=NOON + submitted,
            waited=waited,
            ran=ran,
            suspended=suspended,
            corrected=None if corrected is None else NOON + corrected,
        )
        for index, (submitted, waited, ran, suspended, corrected) in enumerate(facts)
    ]
    with TemporaryDirectory() as folder:
        one, other = (Books(Path(folder) / name, make_kinds()) for name in ("one.db", "other.db"))
        read_at(one, cluster, [NOON + moment for moment in sorted(first)] + [END], seed)
        late = [NOON + moment for moment in second] + [END]
        random.Random(seed).shuffle(late)
        read_at(other, cluster, late, seed + 1)
        assert digest(one.ledger) == digest(other.ledger)
        one.ledger.close()
        other.ledger.close()
