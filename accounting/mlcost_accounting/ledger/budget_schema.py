"""The tables of budgets, commitments, alerts and storage, as named migrations of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

from mlcost_accounting.ledger.monthly import TABLE, days_of_months_since, sum_months

if TYPE_CHECKING:
    from sqlite_utils import Database

budget_migrations = Migrations("mlcost-budgets")

LONG_RUN = "elapsed_s + suspended_s > 165600"
"""Condition of runs on four days or more: two whole days (23 hours at least) lie between the outer ones."""

LATER_DAY = "first = 0 AND corrects = 0"
"""Condition of charges of a run's later days."""


@budget_migrations()
def budgets_and_alerts(db: Database) -> None:
    """The first tables."""
    # What may be spent. Removed budgets stay, so that an old alert or refusal can be explained.
    db.execute(
        """
        CREATE TABLE budgets (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            record TEXT NOT NULL,           -- JSON of the Budget
            author TEXT NOT NULL, reason TEXT NOT NULL, created INTEGER NOT NULL,
            removed INTEGER, removed_by TEXT NOT NULL DEFAULT ''
        )
        """
    )
    db.execute("CREATE UNIQUE INDEX budgets_name ON budgets (name) WHERE removed IS NULL")
    # What jobs that run or wait may still use; a cluster's rows are replaced together.
    db.execute(
        """
        CREATE TABLE commitments (
            cluster TEXT NOT NULL, day INTEGER NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL,
            user TEXT NOT NULL, project TEXT NOT NULL, gpu_model TEXT NOT NULL,
            jobs INTEGER NOT NULL, cost INTEGER NOT NULL, gpu_s INTEGER NOT NULL,
            PRIMARY KEY (cluster, day, kind, account, user, project, gpu_model)
        ) WITHOUT ROWID
        """
    )
    db.execute("CREATE TABLE commitments_taken (cluster TEXT PRIMARY KEY, taken INTEGER NOT NULL)")
    # Submissions that went past a hard budget, and who wanted it.
    db.execute(
        """
        CREATE TABLE budget_overrides (
            id INTEGER PRIMARY KEY, at INTEGER NOT NULL, user TEXT NOT NULL, account TEXT NOT NULL,
            budgets TEXT NOT NULL, cost INTEGER NOT NULL, reason TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE TABLE budget_watches (budget TEXT PRIMARY KEY, memory TEXT NOT NULL) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE alerts (key TEXT PRIMARY KEY, posted INTEGER NOT NULL, event TEXT NOT NULL) "
        "WITHOUT ROWID"
    )
    db.execute(
        """
        CREATE TABLE deliveries (
            key TEXT NOT NULL, channel TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
            due INTEGER NOT NULL, sent INTEGER, failure TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (key, channel)
        ) WITHOUT ROWID
        """
    )
    # Storage quotas as an operator's listing tells them; a day's listing is replaced as a whole.
    db.execute(
        """
        CREATE TABLE storage (
            day INTEGER NOT NULL, path TEXT NOT NULL, owner TEXT NOT NULL, bytes INTEGER NOT NULL,
            PRIMARY KEY (day, path)
        ) WITHOUT ROWID
        """
    )


@budget_migrations()
def monthly_sums(db: Database) -> None:
    """Sums of whole months, filled from the daily ones."""
    db.execute(TABLE)
    oldest = db.execute("SELECT MIN(day) FROM daily").fetchone()[0]
    if oldest is not None:
        sum_months(db.conn, days_of_months_since(db.conn, oldest))


@budget_migrations()
def index_of_long_runs(db: Database) -> None:
    """The few runs of four days or more, for the list of the dearest."""
    db.execute(f"CREATE INDEX runs_long ON runs (dim_id) WHERE {LONG_RUN}")


@budget_migrations()
def index_of_later_days(db: Database) -> None:
    """The later days of runs that last over a midnight, by cost, for the list of the dearest."""
    db.execute(f"CREATE INDEX charges_later ON charges (cost) WHERE {LATER_DAY}")


@budget_migrations()
def storage_charges(db: Database) -> None:
    """Whose a listed path is, and what storage costs; the daily sums take it in."""
    db.execute("ALTER TABLE storage ADD COLUMN account TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE storage ADD COLUMN project TEXT NOT NULL DEFAULT ''")
    db.execute(
        """
        CREATE TABLE storage_charges (
            day INTEGER NOT NULL, dim_id INTEGER NOT NULL, bytes INTEGER NOT NULL, cost INTEGER NOT NULL,
            PRIMARY KEY (day, dim_id)
        ) WITHOUT ROWID
        """
    )


@budget_migrations()
def reconciliations(db: Database) -> None:
    """The newest comparison with Slurm's own sums, for each cluster."""
    db.execute(
        """
        CREATE TABLE reconciliations (
            cluster TEXT PRIMARY KEY, at INTEGER NOT NULL, first INTEGER NOT NULL, until INTEGER NOT NULL,
            lines TEXT NOT NULL             -- JSON of the comparisons
        ) WITHOUT ROWID
        """
    )


@budget_migrations()
def overrides_from_comments(db: Database) -> None:
    """Jobs whose comment tells of a budget that was overridden; the table before was never written to."""
    db.execute("DROP TABLE budget_overrides")
    db.execute(
        """
        CREATE TABLE budget_overrides (
            cluster TEXT NOT NULL, job TEXT NOT NULL,   -- of an array its id, without the task's number
            comment TEXT NOT NULL,
            submitted INTEGER NOT NULL, user TEXT NOT NULL, account TEXT NOT NULL,
            PRIMARY KEY (cluster, job, comment)
        ) WITHOUT ROWID
        """
    )
