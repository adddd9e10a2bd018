"""How the ledger is: for operators only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlcost_accounting.ledger import health
from mlcost_accounting.ledger.outbox import Outbox
from mlcost_accounting.ledger.override_book import overridden_jobs
from mlcost_accounting.ledger.queries import problems
from mlcost_accounting.ledger.reconciliations import reconciliations

if TYPE_CHECKING:
    from starlette.responses import Response

    from mlcost_accounting.web.visit import Visit

REJECTS = 50
"""Unreadable rows that are listed."""


def operator(visit: Visit) -> Response:
    """Ingest health, reconciliation, rejects, runs without a charge, alerts that wait, overrides."""
    now = int(time.time())
    clusters = [
        {**row, "behind_s": None if row["through"] is None else max(0, now - row["through"])}
        for row in health.clusters(visit.ledger)
    ]
    return visit.page(
        "operator.html",
        "Operator",
        clusters=clusters,
        reconciliations=reconciliations(visit.ledger),
        counts=health.counts(visit.ledger),
        problems=problems(visit.ledger),
        rejects=health.newest_rejects(visit.ledger, REJECTS),
        alerts=Outbox(visit.ledger).waiting(),
        overrides=overridden_jobs(visit.ledger),
    )
