"""Rows of ``mlcost budget overrides``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcost_accounting.ledger.override_book import OverriddenJob

COLUMNS = {
    "submitted": "submitted", "cluster": "cluster", "job": "job", "user": "user", "account": "account",
    "budgets": "budgets", "over": "over by", "reason": "reason",
}  # fmt: skip


def override_row(job: OverriddenJob) -> dict[str, Any]:
    """Return an override as a row; the time in UTC, ISO 8601."""
    moment = datetime.fromtimestamp(job.submitted, UTC)
    return {
        "submitted": f"{moment:%Y-%m-%dT%H:%M:%SZ}" if job.submitted else None,
        "cluster": job.cluster,
        "job": job.job,
        "user": job.user,
        "account": job.account,
        "budgets": ",".join(job.told.budgets),
        "over": ",".join(job.told.over),
        "reason": job.told.reason,
    }
