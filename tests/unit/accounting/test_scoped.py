"""Queries within a viewer's scope: month sums agree with days, the dearest runs are the dearest."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ledger_kit import Books, make_kinds, row
from mlcost_accounting.ledger.dearest import dearest_runs
from mlcost_accounting.ledger.scoped import EVERYTHING, Scope, cells, cost_series
from mlcost_accounting.periods import Period, parse_period
from mlcost_accounting.reporting.cells import buckets_of
from mlcost_accounting.reports import usage
from sample_ledger import sample_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TODAY = date(2026, 3, 10)
SCOPES = (
    EVERYTHING,
    Scope(accounts=frozenset({"nlp"}), user="chloe"),
    Scope(user="ben"),
    Scope(accounts=frozenset({"vision", "robotics"})),
    Scope(),
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Books:
    books = Books(tmp_path_factory.mktemp("scoped") / "ledger.db", make_kinds())
    books.take(*sample_rows(TODAY, 100, 9), seen=2_000_000_000)
    return books


def totals(books: Books, scope: Scope, period: Period) -> list[int]:
    parts = [sums for _, _, sums in cells(books.ledger, scope, [period])]
    return [sum(column) for column in zip(*parts, strict=True)] or [0] * 8


@pytest.mark.parametrize(
    "text",
    [
        "2026", "2026-01", "2025-12-15..2026-03-03", "2026-01-02..2026-01-30", "2026-02-01..2026-03-10",
        "2025-12-31..2026-02-01", "2026-W05",
    ],
)  # fmt: skip
def test_months_and_days_give_the_same_sums(sample: Books, text: str) -> None:
    """However a period is cut into months and days, it costs what its days cost, and counts its runs."""
    period = parse_period(text, TODAY)
    (row_,) = usage(sample.ledger, [], period.first, period.last)
    found = totals(sample, EVERYTHING, period)
    assert found[0] == row_["runs"]
    assert f"{found[5] / 10**6:.6f}" == row_["cost"]
    series = cost_series(sample.ledger, EVERYTHING, buckets_of(period), "account")
    assert sum(cost for _, _, cost in series) == found[5]
    bucketed = cells(sample.ledger, EVERYTHING, buckets_of(period))
    assert sum(sums[5] for _, _, sums in bucketed) == found[5]
    assert sum(sums[0] for _, _, sums in bucketed) == found[0]


def test_month_sums_follow_late_rows(make_books: Callable[..., Books]) -> None:
    """A row that comes late changes the sums of its month."""
    books = make_books()
    books.take(row())
    before = totals(books, EVERYTHING, parse_period("2026-01", TODAY))
    books.take(row(JobID=7, JobIDRaw=7, DBIndex=7))
    after = totals(books, EVERYTHING, parse_period("2026-01", TODAY))
    assert after[5] == 2 * before[5] > 0


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_hides_what_it_does_not_name(sample: Books, scope: Scope) -> None:
    """Sums within a scope are those of its accounts and its user, no more and no less."""
    period = parse_period("2026", TODAY)
    seen = cells(sample.ledger, scope, [period])
    rows = cells(sample.ledger, EVERYTHING, [period])
    allowed = [
        entry
        for entry in rows
        if scope.everything
        or entry[1].account in scope.accounts
        or (scope.user and entry[1].user == scope.user)
    ]
    assert sorted(seen) == sorted(allowed)
    series = cost_series(sample.ledger, scope, buckets_of(period), "user")
    assert sum(cost for _, _, cost in series) == sum(sums[5] for _, _, sums in allowed)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("wanted", [{}, {"account": "nlp"}, {"user": ["ana", "ben"]}, {"state": "FAILED"}])
def test_the_dearest_runs_are_the_dearest(
    sample: Books, scope: Scope, wanted: dict[str, str | list[str]]
) -> None:
    """They are what summing every run would give, within the scope and the wanted part."""
    period = parse_period("2026-01-05..2026-03-01", TODAY)
    found = dearest_runs(sample.ledger, scope, period, wanted, 5)
    sums: dict[str, int] = {}
    for charge in sample.ledger.rows(
        "SELECT job_id, account, user, state, cost FROM charges JOIN runs ON runs.id = run_id "
        "JOIN dims ON dims.id = charges.dim_id WHERE day BETWEEN ? AND ?",
        (period.first.toordinal(), period.last.toordinal()),
    ):
        fits = all(charge[name] == value or charge[name] in value for name, value in wanted.items())
        sees = scope.everything or charge["account"] in scope.accounts or charge["user"] == scope.user
        if fits and sees and charge["cost"]:
            sums[charge["job_id"]] = sums.get(charge["job_id"], 0) + charge["cost"]
    assert [run["cost"] for run in found] == sorted(sums.values(), reverse=True)[:5]


def test_a_long_cheap_run_is_found_among_many_dear_days(tmp_path: Path) -> None:
    """A run of thirty days that is never the dearest of a day is the dearest of the month."""
    books = Books(tmp_path / "ledger.db", make_kinds())
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    draw = random.Random(1)
    rows = [
        row(JobID=1, JobIDRaw=1, DBIndex=1, Submit=begin, Start=begin, End=begin + 30 * 86_400,
            ElapsedRaw=30 * 86_400, TimelimitRaw=50_000)
    ]  # fmt: skip
    for number in range(2, 700):
        start = begin + draw.randrange(29) * 86_400
        rows.append(
            row(JobID=number, JobIDRaw=number, DBIndex=number, Submit=start, Start=start, End=start + 86_000,
                ElapsedRaw=86_000, AllocTRES="cpu=80,gres/gpu:a100=8,gres/gpu=8,node=1")
        )  # fmt: skip
    books.take(*rows, seen=2_000_000_000)
    found = dearest_runs(books.ledger, EVERYTHING, parse_period("2026-01", TODAY), {}, 3)
    assert found[0]["job_id"] == "1"
    assert found[0]["cost"] > found[1]["cost"]
    books.ledger.close()


def test_a_scope_of_nobody_sees_nothing(sample: Books) -> None:
    """Without accounts and without a user there is nothing, whatever is asked for."""
    period = Period(kind="range", first=TODAY - timedelta(days=90), last=TODAY)
    assert cells(sample.ledger, Scope(), [period]) == []
    assert dearest_runs(sample.ledger, Scope(), period) == []
