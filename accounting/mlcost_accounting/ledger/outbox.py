"""Alerts that wait to be delivered, and what budgets' watches remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.alerts.events import Event, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlcost_accounting.ledger.store import Ledger

CLAIM_S = 600
"""Seconds after which a claimed delivery whose sender died is free again."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one channel; ``tries`` counts this one."""

    event: Event
    channel: str
    tries: int


class Outbox:
    """The ledger's outbox.

    Args:
        ledger: a ledger open for writing.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def watches(self) -> dict[str, Watch]:
        """Return what is remembered of each budget."""
        rows = self._ledger.db.execute("SELECT memory FROM budget_watches")
        watches = [msgspec.json.decode(row[0], type=Watch) for row in rows]
        return {watch.budget: watch for watch in watches}

    def post(
        self, events: Iterable[Event], watches: Iterable[Watch], channels: Iterable[str], now: int
    ) -> int:
        """Put events into the outbox and remember the watches, all or nothing.

        An event that was posted before, by whomever, is not posted again. Belongs in a transaction of the
        caller that also read the watches.

        Returns:
            The number of events that are new.
        """
        db = self._ledger.db
        names = list(channels)
        new = 0
        for event in events:
            added = db.execute(
                "INSERT OR IGNORE INTO alerts VALUES (?, ?, ?)",
                (event.key, now, msgspec.json.encode(event).decode()),
            ).rowcount
            if added:
                new += 1
                db.executemany(
                    "INSERT INTO deliveries (key, channel, due) VALUES (?, ?, ?)",
                    ((event.key, name, now) for name in names),
                )
        for watch in watches:
            db.execute(
                "INSERT OR REPLACE INTO budget_watches VALUES (?, ?)",
                (watch.budget, msgspec.json.encode(watch).decode()),
            )
        return new

    def claim(self, channel: str, now: int) -> Delivery | None:
        """Take the oldest delivery that is due on a channel; nobody else gets it for a while."""
        with self._ledger.transaction() as db:
            row = db.execute(
                "SELECT key, event, tries FROM deliveries JOIN alerts USING (key) "
                "WHERE channel = ? AND sent IS NULL AND due <= ? ORDER BY due, key LIMIT 1",
                (channel, now),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE deliveries SET tries = tries + 1, due = ? WHERE key = ? AND channel = ?",
                (now + CLAIM_S, row[0], channel),
            )
        return Delivery(event=msgspec.json.decode(row[1], type=Event), channel=channel, tries=row[2] + 1)

    def sent(self, delivery: Delivery, now: int) -> None:
        """Note a delivery as arrived."""
        self._ledger.db.execute(
            "UPDATE deliveries SET sent = ?, failure = '' WHERE key = ? AND channel = ?",
            (now, delivery.event.key, delivery.channel),
        )

    def failed(self, delivery: Delivery, why: str, due: int) -> None:
        """Note a failed try and when to try again."""
        self._ledger.db.execute(
            "UPDATE deliveries SET failure = ?, due = ? WHERE key = ? AND channel = ?",
            (why, due, delivery.event.key, delivery.channel),
        )

    def waiting(self) -> list[dict[str, object]]:
        """Return the deliveries that have not arrived, oldest first."""
        return self._ledger.rows(
            "SELECT key, channel, tries, due, failure FROM deliveries WHERE sent IS NULL ORDER BY due, key"
        )
