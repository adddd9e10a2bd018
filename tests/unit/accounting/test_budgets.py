"""Budgets: their periods, where they stand, what they say to a submission."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlcost_accounting.budgets.publishing import publish, write_published
from mlcost_accounting.budgets.records import Budget, parse_amount
from mlcost_accounting.budgets.status import status_of

from mlcost_hpc.budgets import (
    PublishedBudget,
    PublishedBudgets,
    Submission,
    check_submission,
    format_amount,
    read_published,
    require_budget,
)
from mlcost_hpc.errors import BudgetError, ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 11, 25)
UNIT = 1_000_000


def budget(**changes: object) -> Budget:
    fields: dict[str, object] = {
        "name": "nlp-month", "scope": "account", "target": "nlp", "amount": 1000 * UNIT,
        "since": date(2026, 1, 1),
    }  # fmt: skip
    return Budget(**(fields | changes))  # type: ignore[arg-type]


def published(**changes: object) -> PublishedBudgets:
    fields: dict[str, object] = {
        "name": "nlp-month", "scope": "account", "target": "nlp", "unit": "money", "gpu_model": "",
        "hard": True,
        "accounts": ("nlp", "nlp-lab"), "period": "2026-11", "amount": 1000 * UNIT, "used": 700 * UNIT,
        "committed": 200 * UNIT,
    }  # fmt: skip
    one = PublishedBudget(**(fields | changes))  # type: ignore[arg-type]
    return PublishedBudgets(as_of=0, currency="EUR", budgets=(one,))


def test_the_three_numbers_stand_apart_and_add_up() -> None:
    """Settled, in flight and committed are each told; left and free follow from them."""
    days = {TODAY - timedelta(days=back): (10 * UNIT, 0) for back in range(1, 60)}
    days[TODAY] = (5 * UNIT, 3 * UNIT)
    status = status_of(budget(), TODAY, days, {TODAY: 50 * UNIT, date(2026, 12, 1): 7 * UNIT})
    assert status.usage.settled == 245 * UNIT
    assert status.usage.in_flight == 3 * UNIT
    assert status.usage.committed == 50 * UNIT, "what falls into December is not November's"
    assert status.left == 752 * UNIT
    assert status.free == 702 * UNIT


def test_the_forecast_takes_today_as_not_over() -> None:
    """At 10 a day November ends at 300, whatever of today is already booked."""
    days = {TODAY - timedelta(days=back): (10 * UNIT, 0) for back in range(1, 60)}
    for booked in (0, 4 * UNIT, 10 * UNIT):
        status = status_of(budget(), TODAY, {**days, TODAY: (booked, 0)}, {})
        assert status.forecast.expected == 300 * UNIT


def test_exhaustion_counts_from_what_is_left() -> None:
    """At 10 a day and 50 left after yesterday, money is gone in five days, today included."""
    days = {TODAY - timedelta(days=back): (10 * UNIT, 0) for back in range(1, 60)}
    status = status_of(budget(amount=290 * UNIT), TODAY, days, {})
    assert status.exhaustion.expected == TODAY + timedelta(days=4)
    spent = status_of(budget(amount=240 * UNIT), TODAY, days, {})
    assert spent.left == 0
    assert spent.exhaustion.expected is None


def test_a_budget_counts_only_its_own_days() -> None:
    """A monthly budget that begins on the tenth counts from the tenth, a total from its first day on."""
    assert budget(since=date(2026, 11, 10)).period_at(TODAY).label == "2026-11-10..2026-11-30"
    assert budget().period_at(TODAY).label == "2026-11"
    total = budget(period="total", until=date(2027, 3, 31)).period_at(TODAY)
    assert total.label == "2026-01-01..2027-03-31"


@pytest.mark.parametrize("text", ["", "ten", "-1", "0.0000001", "NaN", "1e400"])
def test_amounts_that_are_none_are_refused(text: str) -> None:
    """Money is exact: a text that is no amount, or too fine, is wrong usage."""
    with pytest.raises(UsageError):
        parse_amount(text, "money")


@given(st.integers(0, 10**15))
def test_money_is_read_exactly(micros: int) -> None:
    """What is written with six decimals is read as it was."""
    assert parse_amount(f"{micros // UNIT}.{micros % UNIT:06}", "money") == micros


def test_amounts_read_well() -> None:
    """People see grouped money and GPU-hours with a unit."""
    assert format_amount(1_234_500_000, "money", "EUR") == "1,234.50 EUR"
    assert format_amount(parse_amount("1,200", "gpu-hours"), "gpu-hours", "EUR") == "1,200.0 GPU-h"


def test_a_submission_that_fits_is_allowed() -> None:
    """What is used, promised and asked for may reach the amount."""
    job = Submission(account="nlp-lab", user="ana", cost=100 * UNIT)
    assert check_submission(job, published()).refusals == ()


def test_a_hard_budget_refuses_what_does_not_fit() -> None:
    """One micro beyond the amount is refused, with the numbers, as exit code 4."""
    job = Submission(account="nlp", user="ana", cost=100 * UNIT + 1)
    verdict = check_submission(job, published())
    with pytest.raises(BudgetError, match=r"nlp-month.*100\.00 EUR free of 1,000\.00 EUR") as caught:
        require_budget(verdict)
    assert caught.value.exit_code == 4
    assert (verdict.refused_by, verdict.over) == (("nlp-month",), ("0.00 EUR",))


def test_a_soft_budget_only_warns() -> None:
    """A soft budget lets the job go and says what it goes beyond."""
    job = Submission(account="nlp", user="ana", cost=500 * UNIT)
    verdict = check_submission(job, published(hard=False))
    assert verdict.refusals == ()
    assert "soft budget" in verdict.warnings[0]
    require_budget(verdict)


def test_other_peoples_budgets_have_no_say() -> None:
    """Another account, another user or another GPU model is not concerned."""
    job = Submission(account="vision", user="ben", cost=10**15, gpu_seconds={"t4": 10**9})
    assert not check_submission(job, published()).refusals
    assert not check_submission(job, published(scope="user", target="ana")).refusals
    wrong_gpu = published(scope="user", target="ben", unit="gpu-hours", gpu_model="h100")
    assert not check_submission(job, wrong_gpu).refusals
    assert check_submission(job, published(scope="user", target="ben", unit="gpu-hours")).refusals
    assert check_submission(job, published(scope="project", target="vision")).refusals


def test_published_budgets_are_read_by_everybody_and_hold_no_jobs(tmp_path: Path) -> None:
    """The file is world-readable, replaced at once, and read back as it was written."""
    status = status_of(budget(hard=True), TODAY, {TODAY: (5, 1)}, {TODAY: 2}, accounts=("nlp",))
    content = publish([status], "EUR", 7)
    path = tmp_path / "budgets.json"
    write_published(path, content)
    assert path.stat().st_mode & 0o777 == 0o644
    assert read_published(path) == content
    assert [found.name for found in tmp_path.iterdir()] == ["budgets.json"]


def test_a_broken_published_file_is_named(tmp_path: Path) -> None:
    """A file that is missing or something else is a clear error with its path."""
    path = tmp_path / "budgets.json"
    with pytest.raises(ConfigError, match=r"budgets\.json"):
        read_published(path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="no published budgets"):
        read_published(path)
