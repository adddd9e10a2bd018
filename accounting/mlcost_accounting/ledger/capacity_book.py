"""What a cluster had, in the ledger: nodes, outages, reservations. Nothing goes because Slurm forgets it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlcost_accounting.node_prices import NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.spans import Span
    from mlcost_hpc.slurm.node_times import Membership, Outage, Reservation

UNKNOWN_HOLDER = "(unknown holder)"
"""The account of reservations of which Slurm only says who may not use them, or nobody any more."""

_OPEN_END = 1 << 40


class Held(NamedTuple):
    """A reservation between two changes of it."""

    cluster: str
    number: int
    started: int
    ended: int
    name: str
    nodes: tuple[str, ...]
    cpus: int
    maintenance: bool
    holders: tuple[tuple[str, str], ...]


def keep_nodes(ledger: Ledger, cluster: str, kinds: Mapping[str, NodeKind], seen: int) -> None:
    """Keep what nodes have, where it differs from what is known of them."""
    newest = {
        node: NodeKind(tres, _names(partitions))
        for node, tres, partitions, _ in ledger.db.execute(
            "SELECT node, tres, partitions, MAX(since) FROM nodes WHERE cluster = ? GROUP BY node", (cluster,)
        )
    }
    changed = [
        (cluster, node, seen, kind.tres, ",".join(kind.partitions))
        for node, kind in kinds.items()
        if newest.get(node) != kind
    ]
    with ledger.transaction() as db:
        db.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?)", changed)


def keep_events(
    ledger: Ledger, cluster: str, memberships: Iterable[Membership], outages: Iterable[Outage]
) -> None:
    """Keep which nodes there were and when they were down; what is told again may have ended since."""
    with ledger.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO memberships VALUES (?, ?, ?, ?)",
            [(cluster, one.started, one.ended, ",".join(one.nodes)) for one in memberships],
        )
        db.executemany(
            "INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?)",
            [(cluster, one.node, one.started, one.ended) for one in outages],
        )


def keep_reservations(
    ledger: Ledger,
    cluster: str,
    reservations: Iterable[Reservation],
    accounts: Mapping[int, str],
    project_of: Callable[[str], str],
    seen: int,
) -> None:
    """Keep the reservations that have begun (one that has not can still vanish) and who holds them.

    Whose a reservation is stays as it was found first: associations can be deleted later.

    Args:
        ledger: the ledger.
        cluster: the cluster.
        reservations: what Slurm told.
        accounts: association -> account.
        project_of: account -> project.
        seen: when it was told (UTC seconds).
    """
    rows = []
    for one in reservations:
        if one.started > seen:
            continue
        found = sorted({accounts[number] for number in one.associations if number in accounts})
        holders = [(account, project_of(account)) for account in found or [UNKNOWN_HOLDER]]
        rows.append(
            (
                cluster, one.number, one.started, one.ended, one.name, ",".join(one.nodes), one.cpus,
                int(one.maintenance), msgspec.json.encode(holders).decode(),
            )
        )  # fmt: skip
    with ledger.transaction() as db:
        db.executemany(
            "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "ended = excluded.ended, name = excluded.name, nodes = excluded.nodes, cpus = excluded.cpus, "
            "maintenance = excluded.maintenance",
            rows,
        )
        ledger.set_meta(_key(cluster), str(max(seen, told_until(ledger, cluster) or 0)))


def told_until(ledger: Ledger, cluster: str) -> int | None:
    """Return when Slurm last told of reservations and nodes (UTC seconds); None = never."""
    value = ledger.meta(_key(cluster))
    return None if value is None else int(value)


def reservations_of(ledger: Ledger, cluster: str, start: int, end: int) -> list[Held]:
    """Return the reservations of a cluster that overlap a time, oldest first."""
    return [
        Held(
            cluster=cluster,
            number=number,
            started=started,
            ended=ended,
            name=name,
            nodes=_names(nodes),
            cpus=cpus,
            maintenance=bool(maintenance),
            holders=msgspec.json.decode(holders, type=tuple[tuple[str, str], ...]),
        )
        for _, number, started, ended, name, nodes, cpus, maintenance, holders in ledger.db.execute(
            "SELECT * FROM reservations WHERE cluster = ? AND started < ? AND ended > ? "
            "ORDER BY number, started",
            (cluster, end, start),
        )
    ]


def reservation_numbers(ledger: Ledger, ended_since: int) -> dict[str, dict[int, list[Held]]]:
    """Return cluster -> number -> rows of the reservations that end, or ended, at or after a time."""
    found: dict[str, dict[int, list[Held]]] = {}
    pairs = ledger.db.execute(
        "SELECT DISTINCT cluster, number FROM reservations WHERE ended >= ? ORDER BY cluster, number",
        (ended_since,),
    ).fetchall()
    wanted = set(pairs)
    for cluster in {name for name, _ in pairs}:
        for held in reservations_of(ledger, cluster, 0, _OPEN_END):
            if (cluster, held.number) in wanted:
                found.setdefault(cluster, {}).setdefault(held.number, []).append(held)
    return found


class Presence:
    """When the nodes of a cluster were there, what they had, and when they were down.

    Args:
        ledger: the ledger.
        cluster: the cluster.
        until: nothing is known after this time (UTC seconds): what has not ended is taken up to it.
    """

    def __init__(self, ledger: Ledger, cluster: str, until: int) -> None:
        self._kinds: dict[str, list[tuple[int, NodeKind]]] = {}
        for node, since, tres, partitions in ledger.db.execute(
            "SELECT node, since, tres, partitions FROM nodes WHERE cluster = ? ORDER BY node, since",
            (cluster,),
        ):
            self._kinds.setdefault(node, []).append((since, NodeKind(tres, _names(partitions))))
        self.present = _present(
            ledger.db.execute(
                "SELECT started, ended, nodes FROM memberships WHERE cluster = ? ORDER BY started", (cluster,)
            ).fetchall(),
            until,
        )
        self.down: dict[str, list[Span]] = {}
        for node, started, ended in ledger.db.execute(
            "SELECT node, started, ended FROM outages WHERE cluster = ? ORDER BY started", (cluster,)
        ):
            self.down.setdefault(node, []).append((started, ended or until))

    def kinds(self, node: str, span: Span) -> list[tuple[NodeKind, Span]]:
        """Return what a node had during a span, cut where that changed; nothing for an unknown node."""
        known = self._kinds.get(node, [])
        found = []
        for position, (since, kind) in enumerate(known):
            begin = span[0] if position == 0 else max(since, span[0])
            end = min(span[1], known[position + 1][0]) if position + 1 < len(known) else span[1]
            if begin < end:
                found.append((kind, (begin, end)))
        return found


def _present(rows: Sequence[tuple[int, int | None, str]], until: int) -> dict[str, list[Span]]:
    """Return when each node was there.

    A controller that was away leaves a gap between two entries; its nodes were still there.
    """
    begins = [started for started, _, _ in rows[1:]]
    found: dict[str, list[Span]] = {}
    for (started, ended, nodes), following in zip_longest(rows, begins):
        for node in _names(nodes):
            found.setdefault(node, []).append((started, following or ended or until))
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _key(cluster: str) -> str:
    return f"capacity:{cluster}"
