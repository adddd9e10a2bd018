"""``mlcost web`` as a real process over the sample ledger, read in a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from mlcost_accounting.budgets.records import Budget
from mlcost_accounting.ledger.budget_book import BudgetBook
from sample_ledger import sample_books
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """
[site]
name = "Example HPC"
[paths]
ledger = "ledger.db"
rates = "rates.toml"
web_tokens = "tokens.json"
[web]
operators = ["root"]
[web.leads]
lena = ["nlp"]
"""
RATES = """
currency = "EUR"
[[card]]
valid_from = 2020-01-01
cpu_hour = 0.1
[card.gpu_hour]
a100-40gb = 2.0
t4 = 0.5
"""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en",
)  # fmt: skip


class Site:
    """The running pages."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address

    def mlcost(self, *words: str) -> str:
        """What a command prints."""
        return subprocess.run(
            [sys.executable, "-m", "mlcost_hpc.cli.main", *words],
            cwd=self.folder, check=True, capture_output=True, text=True, timeout=60,
        ).stdout  # fmt: skip


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pages of a site with two months of work, served by the command."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "mlcost.toml").write_text(SETTINGS)
    (folder / "rates.toml").write_text(RATES)
    books = sample_books(folder / "ledger.db", datetime.now(UTC).date(), per_day=10)
    budget = Budget(
        name="nlp-month", scope="account", target="nlp", amount=900_000_000, since=date(2026, 1, 1)
    )
    BudgetBook(books.ledger).add(budget, author="root", reason="", now=0)
    books.ledger.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlcost_hpc.cli.main", "web", "--port", str(port)],
        cwd=folder, stderr=subprocess.PIPE,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_served(address, server)
        yield Site(folder, address)
    finally:
        server.terminate()
        server.communicate(timeout=20)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser; the packages come with setup_cluster/install-system."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert binary, "chromium is missing: setup_cluster/install-system"
    assert driver, "chromium-driver is missing: setup_cluster/install-system"
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver, env={**os.environ}))
    yield browser
    browser.quit()


def _wait_until_served(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
        except OSError:
            assert server.poll() is None, server.communicate()[1].decode()
            assert time.monotonic() < deadline, "the pages are not served within a minute"
            time.sleep(0.1)
        else:
            return
