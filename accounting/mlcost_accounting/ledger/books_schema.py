"""The tables of what people enter and of what is closed, as further migrations of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_accounting.ledger.schema import migrations, run_script

if TYPE_CHECKING:
    from sqlite_utils import Database

_BOOKS = """
-- Money that moves without a run, or against one. micros: effect on the account's balance.
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('DEPOSIT', 'CHARGE', 'REFUND', 'PULLBACK', 'VOID')),
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    run_id INTEGER,
    voids INTEGER UNIQUE,
    reason TEXT NOT NULL CHECK (reason != ''),
    author TEXT NOT NULL CHECK (author != ''),
    created INTEGER NOT NULL
);
CREATE INDEX transactions_account ON transactions (account, day);

-- Closed periods and what was invoiced for them.
CREATE TABLE invoices (
    period TEXT PRIMARY KEY,
    first_day INTEGER NOT NULL, last_day INTEGER NOT NULL,
    currency TEXT NOT NULL, author TEXT NOT NULL, closed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE invoice_lines (
    period TEXT NOT NULL,
    dim_id INTEGER NOT NULL,
    runs INTEGER NOT NULL, refused INTEGER NOT NULL,
    wall_s INTEGER NOT NULL, cpu_s INTEGER NOT NULL, gpu_s INTEGER NOT NULL, node_s INTEGER NOT NULL,
    cost INTEGER NOT NULL, credit INTEGER NOT NULL,
    PRIMARY KEY (period, dim_id)
) WITHOUT ROWID;

-- The tree of accounts as the cluster last told it.
CREATE TABLE accounts (
    cluster TEXT NOT NULL, account TEXT NOT NULL, parent TEXT NOT NULL,
    PRIMARY KEY (cluster, account)
) WITHOUT ROWID;

-- What the steps of a finished run used.
CREATE TABLE efficiency (
    run_id INTEGER PRIMARY KEY,
    cpu_used_ms INTEGER,
    memory_used INTEGER,
    gpu_percent INTEGER,
    why TEXT NOT NULL
);
"""


@migrations()
def books(db: Database) -> None:
    """Transactions, closed periods, accounts, efficiency."""
    run_script(db, _BOOKS)
    # What was written into the books stays; a mistake is set right by another entry.
    for table in ("transactions", "invoices", "invoice_lines"):
        for change in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are never changed'); END"
            )


@migrations()
def zone_of_raw_rows(db: Database) -> None:
    """The time zone of dates in raw rows, so that they can be read again."""
    db.execute("ALTER TABLE raw_blocks ADD COLUMN zone TEXT NOT NULL DEFAULT ''")


@migrations()
def spend_tiers(db: Database) -> None:
    """What spend tiers take off a day's costs; ``cost`` is what is left."""
    db.execute("ALTER TABLE daily ADD COLUMN tier_credit INTEGER NOT NULL DEFAULT 0")
