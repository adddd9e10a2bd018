"""The tables of what a cluster had: its nodes, their outages, reservations and what those cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

from mlcost_accounting.ledger.schema import run_script

if TYPE_CHECKING:
    from sqlite_utils import Database

capacity_migrations = Migrations("mlcost-capacity")

_TABLES = """
-- What a node has, from when on it is known; the oldest entry holds for the time before it too.
CREATE TABLE nodes (
    cluster TEXT NOT NULL, node TEXT NOT NULL, since INTEGER NOT NULL,
    tres TEXT NOT NULL, partitions TEXT NOT NULL,
    PRIMARY KEY (cluster, node, since)
) WITHOUT ROWID;

-- Nodes that a cluster had together; ended is NULL while it has them.
CREATE TABLE memberships (
    cluster TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, nodes TEXT NOT NULL,
    PRIMARY KEY (cluster, started)
) WITHOUT ROWID;

CREATE TABLE outages (
    cluster TEXT NOT NULL, node TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER,
    PRIMARY KEY (cluster, node, started)
) WITHOUT ROWID;

-- A reservation between two changes of it. holders: JSON of [account, project] pairs.
CREATE TABLE reservations (
    cluster TEXT NOT NULL, number INTEGER NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL,
    name TEXT NOT NULL, nodes TEXT NOT NULL, cpus INTEGER NOT NULL, maintenance INTEGER NOT NULL,
    holders TEXT NOT NULL,
    PRIMARY KEY (cluster, number, started)
) WITHOUT ROWID;
CREATE INDEX reservations_ended ON reservations (ended);

-- A reservation's day for one holder, micros. list_price: of the reserved nodes while they were up;
-- unused: the part of it that no job in the reservation paid; cost: what the holder pays, NULL = refused.
CREATE TABLE reservation_charges (
    day INTEGER NOT NULL, cluster TEXT NOT NULL, number INTEGER NOT NULL, account TEXT NOT NULL,
    corrects INTEGER NOT NULL, dim_id INTEGER NOT NULL,
    list_price INTEGER NOT NULL, unused INTEGER NOT NULL, cost INTEGER, why TEXT NOT NULL,
    PRIMARY KEY (day, cluster, number, account, corrects)
) WITHOUT ROWID;
CREATE INDEX reservation_charges_number ON reservation_charges (cluster, number);

-- Runs in a reservation are few.
CREATE INDEX runs_reservation ON runs (reservation) WHERE reservation != '';
"""


@capacity_migrations()
def nodes_and_reservations(db: Database) -> None:
    """The first tables."""
    run_script(db, _TABLES)
