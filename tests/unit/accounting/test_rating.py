"""Charges: exact, split over days without a remainder, the quick way equal to the long one."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import NOON, UTC, make_book, make_kinds
from mlcost_accounting.calendar import Calendar
from mlcost_accounting.charge import Span
from mlcost_accounting.quickrate import quick_charges
from mlcost_accounting.rating import Rater

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rate_rules import HoursRule, PartitionRate, QosRate, StateRule, SuspendedRule
from mlcost_hpc.rates import RateBook, RateCard
from mlcost_hpc.slurm.repeated import Repeated

PARIS = ZoneInfo("Europe/Paris")
START = date(2020, 1, 1)
CATALOG = load_catalog()
TRES = "cpu=8,gres/gpu:a100=2,mem=64G,node=1"


def span(**changes: object) -> Span:
    fields: dict[str, object] = {
        "partition": "a100", "qos": "normal", "state": "COMPLETED", "allocated": TRES, "node_count": 1,
        "started": NOON, "elapsed_s": 3600, "suspended_s": 0, "time_limit_s": None, "reservation": "",
        "seen": NOON + 86400,
    }  # fmt: skip
    return Span(**(fields | changes))  # type: ignore[arg-type]


def rater(book: RateBook, zone: ZoneInfo = UTC) -> Rater:
    return Rater(book, CATALOG, Calendar(zone))


def card(**fields: object) -> RateCard:
    plain: dict[str, object] = {"valid_from": START, "gpu_hour": {"a100-40gb": Decimal(2)}}
    return RateCard(**(plain | fields))  # type: ignore[arg-type]


def cost(book: RateBook, run: Span, zone: ZoneInfo = UTC) -> int | None:
    parts = rater(book, zone).rate(run).slices
    return None if any(part.cost is None for part in parts) else sum(part.cost or 0 for part in parts)


@given(
    started=st.integers(NOON - 10**7, NOON + 10**7),
    elapsed=st.integers(0, 10**6),
    price=st.decimals("0.000001", "99", places=6),
    cpus=st.integers(1, 300),
    zone=st.sampled_from([UTC, PARIS, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns")]),
)
def test_the_quick_way_is_the_long_way(
    started: int, elapsed: int, price: Decimal, cpus: int, zone: ZoneInfo
) -> None:
    """Any plain run costs the same by whole seconds x price and by exact fractions, on each day."""
    book = make_book(card(cpu_hour=price))
    kinds = make_kinds(book, zone)
    tres = f"cpu={cpus},gres/gpu=1,gres/gpu:a100=1,node=1"
    held = ("a100", "normal", "COMPLETED", tres, 1)
    rated = kinds.rated([Repeated.constant(value, 2) for value in held])
    quick = quick_charges(rated, kinds.rater, np.array([NOON, started]), np.array([60, elapsed]))
    full = kinds.rater.rate(span(started=started, elapsed_s=elapsed, allocated=tres))
    columns = (quick.day, quick.wall_s, quick.cpu_s, quick.gpu_s, quick.node_s, quick.cost)
    days = np.stack(columns)[:, quick.run == 1].T.tolist()
    assert quick.charged.all()
    assert [(*day, 0) for day in days] == [tuple(part) for part in full.slices]


@given(
    started=st.integers(NOON - 10**7, NOON + 10**7),
    elapsed=st.integers(0, 3 * 10**6),
    suspended=st.integers(0, 10**5),
    second=st.dates(date(2025, 9, 1), date(2026, 5, 1)),
    night=st.decimals("0", "1", places=3),
)
def test_days_add_up_to_the_whole_run(
    started: int, elapsed: int, suspended: int, second: date, night: Decimal
) -> None:
    """Over midnights, summer time, a change of prices and cheap nights, the days' parts are the charge."""
    rules = (HoursRule(since="20:00", until="07:30", multiplier=night),)
    book = make_book(
        card(cpu_hour=Decimal("0.013"), hours=rules),
        card(valid_from=second, cpu_hour=Decimal("0.017"), hours=rules),
    )
    engine = rater(book, PARIS)
    run = span(started=started, elapsed_s=elapsed, suspended_s=suspended)
    parts = engine.rate(run).slices
    exact = sum((step.exact for step in engine.steps(run)), Fraction(0)) if elapsed else Fraction(0)
    assert abs(sum(part.cost or 0 for part in parts) - exact * 10**6) <= Fraction(1, 2)
    assert sum(part.wall_s for part in parts) == elapsed + suspended
    assert sum(part.cpu_s for part in parts) == 8 * elapsed
    assert sum(part.gpu_s for part in parts) == 2 * (elapsed + suspended)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_of_summer_times_change_has_its_true_length(day: date, hours: int) -> None:
    """A job that runs through all of such a day in Paris is charged 23 or 25 hours for it."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=PARIS).timestamp())
    parts = (
        rater(make_book(card()), PARIS).rate(span(started=begin - 3600, elapsed_s=27 * 3600 + 3600)).slices
    )
    assert parts[1].day == day.toordinal()
    assert parts[1].wall_s == hours * 3600
    assert parts[1].cost == hours * 2 * 2 * 10**6


def test_a_change_of_prices_splits_at_the_sites_midnight() -> None:
    """One hour before and one after the new card begins are charged at its own price each."""
    book = make_book(card(), card(valid_from=date(2026, 1, 2), gpu_hour={"a100-40gb": Decimal(3)}))
    midnight = int(datetime(2026, 1, 2, tzinfo=PARIS).timestamp())
    parts = rater(book, PARIS).rate(span(started=midnight - 3600, elapsed_s=7200)).slices
    assert [part.cost for part in parts] == [4_000_000, 6_000_000]


def test_charge_at_end_takes_the_card_and_the_day_of_the_end() -> None:
    """All of the charge falls on the last day; while the run is open nothing is due."""
    book = make_book(card(charge_at="end"))
    late = NOON + 11 * 3600
    assert [part.cost for part in rater(book).rate(span(started=late, elapsed_s=7200)).slices] == [
        0,
        8_000_000,
    ]
    assert cost(book, span(started=late, elapsed_s=7200, state="RUNNING")) == 0


@pytest.mark.parametrize(
    ("fields", "run", "expected"),
    [
        ({"minimum_minutes": 15}, {"elapsed_s": 60}, 1_000_000),
        ({"minimum_minutes": 15}, {"elapsed_s": 3600}, 4_000_000),
        ({"minimum_charge": Decimal(1)}, {"elapsed_s": 60}, 1_000_000),
        ({"minimum_charge": Decimal(1)}, {"elapsed_s": 0}, 0),
        ({"step_seconds": 3600}, {"elapsed_s": 3601}, 8_000_000),
        ({"qos": {"normal": QosRate(multiplier=Decimal(0))}}, {}, 0),
        ({"qos": {"normal": QosRate(multiplier=Decimal("1.5"))}}, {}, 6_000_000),
        ({"partition": {"a100": PartitionRate(multiplier=Decimal("0.4"))}}, {}, 1_600_000),
        ({"state": {"NODE_FAIL": StateRule(multiplier=Decimal(0))}}, {"state": "NODE_FAIL"}, 0),
        ({"state": {"PREEMPTED": StateRule(multiplier=Decimal("0.5"))}}, {"state": "PREEMPTED"}, 2_000_000),
        ({"state": {"FAILED": StateRule(free_minutes=30)}}, {"state": "FAILED"}, 2_000_000),
        ({"state": {"FAILED": StateRule(free_minutes=30)}}, {"state": "FAILED", "elapsed_s": 900}, 0),
        ({"reservations": "holder"}, {"reservation": "school"}, 0),
        ({"reservations": "jobs"}, {"reservation": "school"}, 4_000_000),
        ({}, {"state": "REVOKED"}, 0),
        ({}, {"suspended_s": 3600}, 8_000_000),
        ({"suspended": SuspendedRule(gpus=False)}, {"suspended_s": 3600}, 4_000_000),
    ],
)
def test_rules_about_whole_runs(fields: dict[str, object], run: dict[str, object], expected: int) -> None:
    """Each rule of a card changes a two-GPU hour at 2 a GPU as its name says."""
    assert cost(make_book(card(**fields)), span(**run)) == expected


REQUEUED_IN_SPOT = {
    "state": {"PREEMPTED": StateRule(multiplier=Decimal(0))},
    "partition": {
        "spot": PartitionRate(
            state={"REQUEUED": StateRule(multiplier=Decimal("0.5"), minutes_before_limit=10)}
        )
    },
}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"partition": "spot", "state": "REQUEUED", "time_limit_s": 7200}, 2_000_000),
        ({"partition": "spot", "state": "REQUEUED", "time_limit_s": None}, 2_000_000),
        ({"partition": "spot", "state": "REQUEUED", "time_limit_s": 3600 + 600}, 2_000_000),
        ({"partition": "spot", "state": "REQUEUED", "time_limit_s": 3600 + 599}, 4_000_000),
        ({"partition": "spot", "state": "REQUEUED", "time_limit_s": 3600}, 4_000_000),
        ({"partition": "a100", "state": "REQUEUED", "time_limit_s": 7200}, 4_000_000),
        ({"partition": "spot", "state": "PREEMPTED"}, 0),
        ({"partition": "spot", "state": "COMPLETED", "time_limit_s": 7200}, 4_000_000),
    ],
)
def test_a_requeued_run_is_credited_where_jobs_are_preempted(run: dict[str, object], expected: int) -> None:
    """In the named partition, unless it was near its limit; the card's other rules hold there too."""
    assert cost(make_book(card(**REQUEUED_IN_SPOT)), span(**run)) == expected


def test_a_partitions_rule_reaches_runs_that_are_charged_many_at_a_time() -> None:
    """A kind with such a rule is not one of plain seconds x price."""
    kinds = make_kinds(make_book(card(**REQUEUED_IN_SPOT)))
    for partition, state, simple in (("spot", "REQUEUED", False), ("spot", "COMPLETED", True)):
        assert kinds.rater.is_simple(kinds.rater.card(NOON // 86400 + 719163), partition, state) is simple


def test_what_a_rule_takes_off_is_a_credit() -> None:
    """Charge and credit together are the list price."""
    book = make_book(card(state={"PREEMPTED": StateRule(multiplier=Decimal("0.25"))}))
    (part,) = rater(book).rate(span(state="PREEMPTED")).slices
    assert (part.cost, part.credit) == (1_000_000, 3_000_000)


def test_a_gpu_without_a_price_is_refused_by_name() -> None:
    """The usage is kept, the charge is not made up, and the model is named."""
    charge = rater(make_book(card())).rate(span(allocated="cpu=1,gres/gpu:h100=1,node=1"))
    assert charge.slices[0].gpu_s == 3600
    assert charge.slices[0].cost is None
    assert charge.problem is not None
    assert "'h100'" in charge.problem[1]


def test_untracked_gpus_are_refused_where_the_card_expects_gpus() -> None:
    """A row without GPUs in a partition that needs them is not billed as a CPU job."""
    book = make_book(card(partition={"a100": PartitionRate(needs_gpus=True)}))
    charge = rater(book).rate(span(allocated="cpu=8,node=1"))
    assert charge.problem is not None
    assert charge.problem[0] == "untracked"


def test_untyped_gpus_take_the_partitions_model() -> None:
    """Where Slurm does not say the type, the card may; where nobody does, the charge is refused."""
    untyped = "cpu=8,gres/gpu=2,node=1"
    book = make_book(card(partition={"a100": PartitionRate(gpu_model="a100-40gb")}))
    assert cost(book, span(allocated=untyped)) == 4_000_000
    assert cost(make_book(card()), span(allocated=untyped)) is None


def test_a_run_long_past_its_limit_is_held() -> None:
    """Still RUNNING a day after its one-hour limit: a record nobody closed, not invoiced."""
    run = span(state="RUNNING", time_limit_s=3600, elapsed_s=90_000, seen=NOON + 90_000)
    charge = rater(make_book(card())).rate(run)
    assert charge.problem is not None
    assert charge.problem[0] == "runaway"
    assert charge.slices[0].cost is None


def test_before_the_first_card_nothing_is_charged() -> None:
    """A run older than every card is refused, not charged at a later price."""
    assert cost(make_book(card(valid_from=date(2027, 1, 1))), span()) is None
