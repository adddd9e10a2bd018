"""What reservations cost and who pays it; the daily sums take it in, closed days are corrected later."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from mlcost_accounting.dims import Dims
from mlcost_accounting.ledger.capacity_book import Presence, reservation_numbers, told_until
from mlcost_accounting.ledger.names import Names
from mlcost_accounting.ledger.reserved_runs import paid_in_reservation
from mlcost_accounting.node_prices import NodePrices
from mlcost_accounting.spans import without
from mlcost_accounting.spend import spread
from mlcost_hpc.errors import RateError
from mlcost_hpc.money import round_micros
from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.ledger.capacity_book import Held
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.rating import Rater

PARTITION = "(reservation)"
STATE = "RESERVATION"

_Holders = tuple[tuple[str, str], ...]


class _Line(NamedTuple):
    """A reservation's day for one holder."""

    dim_id: int
    list_price: int
    unused: int
    cost: int | None
    why: str


def charge_reservations(ledger: Ledger, rater: Rater, *, ended_since: int = 0) -> int:
    """Charge reservations again; belongs in a transaction.

    Args:
        ledger: the ledger.
        rater: the prices.
        ended_since: reservations that ended before (UTC seconds) are left alone.

    Returns:
        The number of days that changed.
    """
    changed: set[int] = set()
    for cluster, reservations in reservation_numbers(ledger, ended_since).items():
        worker = _Charging(ledger, rater, cluster)
        for number, rows in reservations.items():
            changed |= worker.keep(number, worker.lines(rows))
    ledger.mark_dirty(changed)
    return len(changed)


class _Charging:
    """Charges the reservations of one cluster."""

    def __init__(self, ledger: Ledger, rater: Rater, cluster: str) -> None:
        self._ledger = ledger
        self._rater = rater
        self._cluster = cluster
        self._until = told_until(ledger, cluster) or 0
        self._presence = Presence(ledger, cluster, self._until)
        self._prices = NodePrices(rater)
        self._names = Names(ledger.db)
        self._closed = int(ledger.meta("closed_through") or 0)

    def lines(self, rows: Sequence[Held]) -> dict[tuple[int, str], _Line]:
        """Return (day, account) -> what the rows of one reservation cost there."""
        rows = [row for row in rows if not row.maintenance]
        try:
            exact = self._exact(rows)
        except RateError as error:
            return self._refused(rows, str(error))
        by_day: dict[int, list[tuple[_Holders, int]]] = defaultdict(list)
        for holders, days in exact.items():
            running, done = Fraction(0), 0
            for day in sorted(days):
                running += days[day]
                upto = round_micros(running.numerator, running.denominator)
                by_day[day].append((holders, upto - done))
                done = upto
        lines: dict[tuple[int, str], _Line] = {}
        paid = self._paid(rows) if by_day else {}
        for day, parts in by_day.items():
            listed = [amount for _, amount in parts]
            unused = max(0, sum(listed) - paid.get(day, 0))
            rule = self._rater.card(day).reservations
            for (holders, amount), left in zip(parts, spread(unused, listed), strict=True):
                self._add(lines, day, holders, amount, amount if rule == "holder" else left, rule)
        return lines

    def keep(self, number: int, lines: dict[tuple[int, str], _Line]) -> set[int]:
        """Write a reservation's lines and return the days that changed.

        Lines of closed days stay; what differs there is a correction on the first open day.
        """
        posted_on = self._closed + 1
        wanted = {(day, account, 0): line for (day, account), line in lines.items() if day > self._closed}
        for day, account in {*self._closed_lines(number), *(key for key in lines if key[0] <= self._closed)}:
            line = self._correction(number, day, account, lines.get((day, account)))
            if line is not None:
                wanted[posted_on, account, day] = line
        before = {
            (row[0], row[1], row[2]): _Line(*row[3:])
            for row in self._ledger.db.execute(
                "SELECT day, account, corrects, dim_id, list_price, unused, cost, why FROM "
                "reservation_charges WHERE cluster = ? AND number = ? AND day > ?",
                (self._cluster, number, self._closed),
            )
        }
        changed = {key for key in wanted.keys() | before.keys() if wanted.get(key) != before.get(key)}
        self._ledger.db.executemany(
            "DELETE FROM reservation_charges WHERE day = ? AND account = ? AND corrects = ? AND cluster = ? "
            "AND number = ?",
            [(*key, self._cluster, number) for key in changed],
        )
        self._ledger.db.executemany(
            "INSERT INTO reservation_charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (day, self._cluster, number, account, corrects, *wanted[day, account, corrects])
                for day, account, corrects in sorted(changed & wanted.keys())
            ],
        )
        return {key[0] for key in changed}

    def _exact(self, rows: Sequence[Held]) -> dict[_Holders, dict[int, Fraction]]:
        """Return holders -> day -> exact micros of the reserved nodes while they were up."""
        found: dict[_Holders, dict[int, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        for row in rows:
            span = (row.started, min(row.ended, self._until))
            pieces = [
                (kind, piece)
                for node in row.nodes
                for up in without([span], self._presence.down.get(node, ()))
                for kind, piece in self._kinds(node, up)
            ]
            share = self._share(row)
            for kind, (start, stop) in pieces:
                for day, micros in self._prices.by_day(kind, start, stop):
                    found[row.holders][day] += micros * share
        return found

    def _kinds(self, node: str, span: tuple[int, int]) -> list[Any]:
        kinds = self._presence.kinds(node, span)
        if not kinds:
            raise RateError(f"nobody knows what node {node} of {self._cluster} has, or had")
        return kinds

    def _share(self, row: Held) -> Fraction:
        """Return the part of its nodes that a reservation holds: some of their CPUs, or all."""
        kinds = [self._presence.kinds(node, (row.started, row.ended)) for node in row.nodes]
        cpus = sum(parse_tres(found[0][0].tres).cpus for found in kinds if found)
        return Fraction(row.cpus, cpus) if 0 < row.cpus < cpus else Fraction(1)

    def _paid(self, rows: Sequence[Held]) -> dict[int, int]:
        begin, end = min(row.started for row in rows), max(row.ended for row in rows)
        calendar = self._rater.calendar
        names = (rows[0].name, f"#{rows[0].number}")
        return paid_in_reservation(self._ledger, calendar, self._cluster, names, begin, end)

    def _add(
        self,
        lines: dict[tuple[int, str], _Line],
        day: int,
        holders: _Holders,
        amount: int,
        unused: int,
        rule: str,
    ) -> None:
        """Add a part of a day, in equal shares for several holders."""
        even = [1] * len(holders)
        for (account, project), listed, left in zip(
            holders, spread(amount, even), spread(unused, even), strict=True
        ):
            cost = 0 if rule == "jobs" else left
            known = lines.get((day, account))
            before = (known.list_price, known.unused, known.cost or 0) if known else (0, 0, 0)
            lines[day, account] = _Line(
                self._dims(account, project), before[0] + listed, before[1] + left, before[2] + cost, ""
            )

    def _refused(self, rows: Sequence[Held], why: str) -> dict[tuple[int, str], _Line]:
        lines = {}
        for row in rows:
            stop = min(row.ended, self._until)
            for day, _, _ in self._rater.calendar.pieces(row.started, max(row.started + 1, stop)):
                cost = None if self._is_charged(day) else 0
                for account, project in row.holders:
                    lines[day, account] = _Line(self._dims(account, project), 0, 0, cost, why)
        return lines

    def _is_charged(self, day: int) -> bool:
        try:
            return self._rater.card(day).reservations != "jobs"
        except RateError:
            return self._rater.book is not None

    def _closed_lines(self, number: int) -> list[tuple[int, str]]:
        return [
            (row[0], row[1])
            for row in self._ledger.db.execute(
                "SELECT DISTINCT CASE WHEN corrects THEN corrects ELSE day END, account FROM "
                "reservation_charges WHERE cluster = ? AND number = ? AND day <= ?",
                (self._cluster, number, self._closed),
            )
        ]

    def _correction(self, number: int, day: int, account: str, line: _Line | None) -> _Line | None:
        """Return what a closed day lacks or has too much; None when nothing."""
        kept = self._ledger.db.execute(
            "SELECT MAX(dim_id), COALESCE(SUM(list_price), 0), COALESCE(SUM(unused), 0), "
            "COALESCE(SUM(cost), 0) FROM reservation_charges WHERE cluster = ? AND number = ? "
            "AND account = ? AND day <= ? AND (corrects = ? OR (corrects = 0 AND day = ?))",
            (self._cluster, number, account, self._closed, day, day),
        ).fetchone()
        should = (line.list_price, line.unused, line.cost or 0) if line else (0, 0, 0)
        change = [new - old for new, old in zip(should, kept[1:], strict=True)]
        if not any(change):
            return None
        return _Line(line.dim_id if line else kept[0], change[0], change[1], change[2], "")

    def _dims(self, account: str, project: str) -> int:
        # Named wherever reports group, so that it is not taken for runs without GPUs.
        return self._names.dims(
            Dims(
                cluster=self._cluster, account=account, user=PARTITION, partition=PARTITION, qos=PARTITION,
                gpu_model=PARTITION, state=STATE, project=project, pool="", wckey="", tag="",
            )
        )  # fmt: skip
