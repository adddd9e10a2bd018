"""The web pages over the sample ledger, asked as any user."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from mlcost_accounting.budgets.records import Budget
from mlcost_accounting.ledger.budget_book import BudgetBook
from mlcost_accounting.ledger.override_book import keep_overrides_of_jobs
from mlcost_accounting.ledger.reconciliations import keep_reconciliation
from mlcost_accounting.reconcile import Comparison
from mlcost_accounting.web.app import WebApp
from mlcost_accounting.web.people import People
from mlcost_accounting.web.signin import SignIn, parse_networks
from mlcost_accounting.web.tokens import TokenFile
from mlcost_accounting.web.visit import SiteFacts
from sample_ledger import HOSTILE, sample_books
from starlette.testclient import TestClient

from mlcost_hpc.slurm.api import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "X-Remote-User"
PEOPLE = People(
    operators=frozenset({"root"}),
    leads={"lena": ("nlp",), "sam": ("science",), "rob": ("robotics",)},
)


RECONCILED = [
    Comparison(
        account=account, resource="gpu", ledger_s=7200, sreport_s=7200 - difference, difference_s=difference,
        limits_min=0, reasons=reasons,
    )
    for account, difference, reasons in (("nlp", 0, ()), (HOSTILE, 3600, ("sweep runs: 3600 s",)))
]  # fmt: skip

OVERRIDDEN = Job(
    job_id="99+1", raw_job_id="99", user="ben", account="vision", submitted=7200,
    comment=f"budget_override=vision-hard over=3.00EUR by=root because camera-ready {HOSTILE}",
)  # fmt: skip


@pytest.fixture(scope="session")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger with two months of the sample site, with budgets."""
    path = tmp_path_factory.mktemp("web") / "ledger.db"
    books = sample_books(path, datetime.now(UTC).date(), per_day=10)
    book = BudgetBook(books.ledger)
    for name, scope, target in (("nlp-month", "account", "nlp"), ("ana-own", "user", "ana")):
        budget = Budget(
            name=name,
            scope=scope,
            target=target,
            amount=10**9,
            since=date(2026, 1, 1),  # type: ignore[arg-type]
        )
        book.add(budget, author="root", reason="", now=0)
    keep_reconciliation(books.ledger, "alpha", 0, 3600, RECONCILED, 7200)
    keep_overrides_of_jobs(books.ledger, "alpha", [OVERRIDDEN])
    books.ledger.close()
    return path


@pytest.fixture
def make_client(ledger_file: Path, tmp_path: Path) -> Callable[..., TestClient]:
    """Return a factory of clients; ``user`` is named by a trusted proxy, changes go to the sign-in."""

    def make(
        user: str = "", *, peer: str = "127.0.0.1", ledger: Path | None = None, **signin: Any
    ) -> TestClient:
        facts = SiteFacts(
            name="Example HPC", zone=ZoneInfo("UTC"), ledger=ledger or ledger_file, version="0",
            people=PEOPLE,
            arithmetic=lambda _run: ["2 x 3 = 6"],
        )  # fmt: skip
        defaults: dict[str, Any] = {
            "user_header": HEADER,
            "proxies": parse_networks(("127.0.0.1", "10.0.0.0/8")),
            "tokens": TokenFile(tmp_path / "tokens.json"),
        }
        app = WebApp(facts, SignIn(**(defaults | signin))).asgi()
        client = TestClient(app, client=(peer, 50000), follow_redirects=False)
        if user:
            client.headers[HEADER] = user
        return client

    return make
