"""The tables of the ledger, as named migrations: each is applied once, in one transaction with its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("mlcost")

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE clusters (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    run_key TEXT NOT NULL           -- 'dbindex', or 'jobid' where rows have no DBIndex
);

CREATE TABLE allocations (id INTEGER PRIMARY KEY, tres TEXT NOT NULL UNIQUE);

-- What reports group by: one row for each combination that occurs.
CREATE TABLE dims (
    id INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL, account TEXT NOT NULL, user TEXT NOT NULL, partition TEXT NOT NULL,
    qos TEXT NOT NULL, gpu_model TEXT NOT NULL, state TEXT NOT NULL, project TEXT NOT NULL,
    pool TEXT NOT NULL, wckey TEXT NOT NULL, tag TEXT NOT NULL,
    UNIQUE (account, user, project, partition, qos, gpu_model, state, pool, wckey, tag, cluster)
);

-- Rows as they came, many to a block.
CREATE TABLE raw_blocks (
    id INTEGER PRIMARY KEY,
    used INTEGER NOT NULL,          -- rows of it that runs point to; without any it goes
    names TEXT NOT NULL,            -- their fields
    separator TEXT NOT NULL,
    data BLOB NOT NULL              -- zstd of the rows, a NUL between them
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    cluster_id INTEGER NOT NULL,
    db_index TEXT NOT NULL,         -- as text: it exceeds 2^63
    submitted INTEGER NOT NULL,     -- 0 = not known
    job_id TEXT NOT NULL,
    raw_job_id TEXT NOT NULL,
    dim_id INTEGER NOT NULL,
    allocation_id INTEGER NOT NULL,
    closed INTEGER NOT NULL,        -- 1 = ended
    started INTEGER,
    ended INTEGER,
    elapsed_s INTEGER NOT NULL,
    suspended_s INTEGER NOT NULL,
    time_limit_s INTEGER,
    node_count INTEGER NOT NULL,
    name TEXT NOT NULL,
    reservation TEXT NOT NULL,
    check_sum INTEGER NOT NULL,     -- of the raw row
    seen INTEGER NOT NULL,          -- when this row was last read
    raw_block INTEGER NOT NULL,
    raw_row INTEGER NOT NULL,
    UNIQUE (cluster_id, db_index, submitted)
);
CREATE INDEX runs_job ON runs (job_id);
CREATE INDEX runs_open ON runs (cluster_id, raw_job_id) WHERE closed = 0;

-- A run's part of a day. corrects: the closed day that the row corrects; 0 = an ordinary row.
CREATE TABLE charges (
    day INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    corrects INTEGER NOT NULL,
    dim_id INTEGER NOT NULL,
    first INTEGER NOT NULL,         -- 1 on the run's first day
    wall_s INTEGER NOT NULL, cpu_s INTEGER NOT NULL, gpu_s INTEGER NOT NULL, node_s INTEGER NOT NULL,
    cost INTEGER,                   -- micros; NULL = refused
    credit INTEGER NOT NULL,        -- micros that rules took off the list price
    PRIMARY KEY (day, run_id, corrects)
) WITHOUT ROWID;

CREATE INDEX charges_corrections ON charges (run_id) WHERE corrects != 0;

-- Sums of charges; always recomputed for a whole day, never added to.
CREATE TABLE daily (
    day INTEGER NOT NULL,
    dim_id INTEGER NOT NULL,
    runs INTEGER NOT NULL, first INTEGER NOT NULL, refused INTEGER NOT NULL,
    wall_s INTEGER NOT NULL, cpu_s INTEGER NOT NULL, gpu_s INTEGER NOT NULL, node_s INTEGER NOT NULL,
    cost INTEGER NOT NULL, credit INTEGER NOT NULL,
    PRIMARY KEY (day, dim_id)
) WITHOUT ROWID;
CREATE TABLE dirty_days (day INTEGER PRIMARY KEY);

-- Why a run is not charged: no-price, untracked, runaway.
CREATE TABLE problems (
    run_id INTEGER PRIMARY KEY, kind TEXT NOT NULL, words TEXT NOT NULL
);

-- Pieces of answers that could not be read; the same piece is kept once.
CREATE TABLE rejects (
    digest TEXT PRIMARY KEY, cluster TEXT NOT NULL, words TEXT NOT NULL, why TEXT NOT NULL,
    seen INTEGER NOT NULL, times INTEGER NOT NULL
) WITHOUT ROWID;
"""


@migrations()
def runs_and_charges(db: Database) -> None:
    """The first tables."""
    run_script(db, _TABLES)


def run_script(db: Database, script: str) -> None:
    """Run statements inside the migration's transaction (``executescript`` would commit it)."""
    statements = "\n".join(line.split("--")[0] for line in script.splitlines()).split(";")
    for statement in filter(str.strip, statements):
        db.execute(statement)
