"""What a cluster's nodes cost and what became of it; reservations charged to their holders."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_kit import NOON, Books, make_book, make_kinds, row
from mlcost_accounting.capacity import Sharing, share_out
from mlcost_accounting.capacity_period import capacity_of
from mlcost_accounting.ledger import capacity_book as facts
from mlcost_accounting.ledger.capacity_sums import refused_reservations, reservation_lines
from mlcost_accounting.ledger.closing import close_period
from mlcost_accounting.ledger.reservation_charges import charge_reservations
from mlcost_accounting.node_prices import NodeKind
from mlcost_accounting.pricing import hold_prices
from mlcost_accounting.reports import usage
from mlcost_accounting.spans import joined, within, without

from mlcost_hpc.errors import LedgerError, RateError
from mlcost_hpc.rate_rules import PartitionRate
from mlcost_hpc.rates import RateCard, load_rates
from mlcost_hpc.slurm.node_times import Membership, Outage, Reservation

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.rates import RateBook

HOUR = 3600
DAY = date(2026, 1, 1)
NODE = NodeKind("cpu=8,node=1,mem=65536M,gres/gpu=2,gres/gpu:a100=2", ("a100", "spot"))
NODE_HOUR = 4_800_000  # two GPUs at 2, eight CPUs at 0.1
ACCOUNTS = {5: "nlp", 9: "nlp", 7: "vision"}


def book(rule: str, **fields: Any) -> RateBook:
    card: dict[str, Any] = {
        "valid_from": date(2020, 1, 1), "gpu_hour": {"a100-40gb": Decimal(2)}, "cpu_hour": Decimal("0.1"),
        "partition": {"spot": PartitionRate(multiplier=Decimal("0.4"))}, "reservations": rule,
    }  # fmt: skip
    return make_book(RateCard(**(card | fields)))


def reservation(**changes: Any) -> Reservation:
    fields: dict[str, Any] = {
        "number": 1, "started": NOON, "ended": NOON + 2 * HOUR, "name": "school", "nodes": ("a100-1",),
        "cpus": 8, "associations": (5,), "maintenance": False,
    }  # fmt: skip
    return Reservation(**(fields | changes))


def tell(
    books: Books, *reservations: Reservation, outages: tuple[Outage, ...] = (), until: int = NOON + 12 * HOUR
) -> None:
    """Keep what a cluster of two nodes tells, and charge its reservations."""
    ledger = books.ledger
    facts.keep_nodes(ledger, "alpha", {"a100-1": NODE, "a100-2": NODE}, until)
    members = Membership(started=NOON - 12 * HOUR, ended=None, nodes=("a100-1", "a100-2"))
    facts.keep_events(ledger, "alpha", [members], outages)
    facts.keep_reservations(ledger, "alpha", reservations, ACCOUNTS, lambda account: f"p-{account}", until)
    with ledger.transaction():
        charge_reservations(ledger, books.kinds.rater)
    ledger.refresh()


def charged(books: Books) -> dict[str, str]:
    return {line["account"]: line["cost"] for line in usage(books.ledger, ["account"])}


@pytest.mark.parametrize(
    ("rule", "costs"),
    [
        # A job held the node for half an hour of the two reserved: 2.40 of 9.60.
        ("jobs", {"vision": "2.400000"}),
        ("unused", {"nlp": "7.200000", "vision": "2.400000"}),
        ("holder", {"nlp": "9.600000", "vision": "0.000000"}),
    ],
)
def test_a_reservation_is_charged_by_the_cards_rule(
    make_books: Callable[..., Books], rule: str, costs: dict[str, str]
) -> None:
    """Nobody, the holder for what no job paid, or the holder for all of it and its jobs nothing."""
    books = make_books(book(rule))
    books.take(
        row(Account="vision", Reservation="school", Start=NOON + 600, End=NOON + 2400, ElapsedRaw=1800)
    )
    tell(books, reservation())
    assert charged(books) == costs


def test_the_published_policy_that_charges_reservations_in_full(make_books: Callable[..., Books]) -> None:
    """By NERSC's policy two whole nodes reserved for two hours are four node hours, idle or not."""
    cards = Path(__file__).parents[3] / "accounting" / "config" / "cards"
    books = make_books(load_rates(cards / "node-hours-qos.toml"))
    books.take(row(Account="vision", Partition="regular", Reservation="school", AllocTRES="cpu=8,node=1"))
    whole = NodeKind("cpu=8,node=1", ("regular",))
    facts.keep_nodes(books.ledger, "alpha", {"a100-1": whole, "a100-2": whole}, NOON)
    both = reservation(nodes=("a100-1", "a100-2"), cpus=16)
    facts.keep_reservations(books.ledger, "alpha", [both], ACCOUNTS, str, NOON + 9 * HOUR)
    with books.ledger.transaction():
        charge_reservations(books.ledger, books.kinds.rater)
    books.ledger.refresh()
    assert charged(books) == {"nlp": "4.000000", "vision": "0.000000"}


def test_a_jobs_time_after_the_reservation_is_none_of_it(make_books: Callable[..., Books]) -> None:
    """A job that runs on for three hours after an hour in it pays for one of the two reserved hours."""
    books = make_books(book("unused"))
    books.take(row(Account="vision", Reservation="school", Start=NOON + HOUR, End=NOON + 5 * HOUR,
                   ElapsedRaw=4 * HOUR))  # fmt: skip
    tell(books, reservation())
    assert charged(books) == {"nlp": "4.800000", "vision": "19.200000"}


def test_a_job_that_began_with_its_reservation_has_only_its_number(make_books: Callable[..., Books]) -> None:
    """A run of its first second has no `Reservation` in sacct's row, only a `ReservationId`."""
    books = make_books(book("unused"))
    books.take(row(Account="vision", ReservationId=1))
    tell(books, reservation())
    assert charged(books) == {"nlp": "4.800000", "vision": "4.800000"}


def test_time_in_which_a_node_was_down_is_not_charged(make_books: Callable[..., Books]) -> None:
    """Half an hour of two was an outage."""
    books = make_books(book("holder"))
    tell(books, reservation(), outages=(Outage(node="a100-1", started=NOON + 600, ended=NOON + 2400),))
    assert charged(books) == {"nlp": "7.200000"}


def test_half_of_a_nodes_cpus_is_half_of_its_price(make_books: Callable[..., Books]) -> None:
    """A reservation of cores holds that share of all that the node has."""
    books = make_books(book("holder"))
    tell(books, reservation(cpus=4))
    assert charged(books) == {"nlp": "4.800000"}


def test_several_holders_pay_alike_and_it_adds_up(make_books: Callable[..., Books]) -> None:
    """An amount that cannot be halved is still charged exactly once."""
    books = make_books(book("holder"))
    tell(books, reservation(associations=(5, 9, 7), ended=NOON + 1, nodes=("a100-1",), cpus=8))
    assert charged(books) == {"nlp": "0.000666", "vision": "0.000667"}


def test_a_reservation_without_a_known_holder_has_a_line_of_its_own(make_books: Callable[..., Books]) -> None:
    """Slurm says only who may not use it."""
    books = make_books(book("holder"))
    tell(books, reservation(associations=()))
    assert charged(books) == {facts.UNKNOWN_HOLDER: "9.600000"}


def test_the_holder_stays_when_his_association_is_deleted(make_books: Callable[..., Books]) -> None:
    """What was found first holds."""
    books = make_books(book("holder"))
    tell(books, reservation(associations=(5,)))
    tell(books, reservation(associations=(99,)))
    assert charged(books) == {"nlp": "9.600000"}


def test_a_running_reservation_is_charged_so_far(make_books: Callable[..., Books]) -> None:
    """After half of its time half is charged, and one that has not begun is not kept at all."""
    books = make_books(book("holder"))
    tell(books, reservation(), reservation(number=2, started=NOON + 7 * HOUR, ended=NOON + 9 * HOUR),
         until=NOON + HOUR)  # fmt: skip
    assert charged(books) == {"nlp": "4.800000"}
    tell(books, reservation())
    assert charged(books) == {"nlp": "9.600000"}


def test_a_reservation_that_was_changed_has_rows_that_add_up(make_books: Callable[..., Books]) -> None:
    """An hour of one node, then an hour of two."""
    books = make_books(book("holder"))
    later = reservation(started=NOON + HOUR, nodes=("a100-1", "a100-2"), cpus=16)
    tell(books, reservation(ended=NOON + HOUR), later)
    assert charged(books) == {"nlp": "14.400000"}
    (line,) = reservation_lines(books.ledger, DAY.toordinal(), DAY.toordinal())
    assert (line["started"], line["ended"], line["cost"]) == (NOON, NOON + 2 * HOUR, 3 * NODE_HOUR)


def test_maintenance_is_nobodys_and_counts_as_down(make_books: Callable[..., Books]) -> None:
    """A reservation with MAINT is charged to nobody."""
    books = make_books(book("holder"))
    tell(books, reservation(maintenance=True))
    assert charged(books) == {}
    found = capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY).capacity
    assert (found.total, found.down, found.reserved, found.idle) == (
        48 * NODE_HOUR, 2 * NODE_HOUR, 0, 46 * NODE_HOUR,
    )  # fmt: skip


def test_the_same_facts_again_change_nothing(make_books: Callable[..., Books]) -> None:
    """A second telling marks no day."""
    books = make_books(book("unused"))
    tell(books, reservation())
    with books.ledger.transaction():
        assert charge_reservations(books.ledger, books.kinds.rater) == 0


def test_new_prices_charge_reservations_again(make_books: Callable[..., Books]) -> None:
    """Under a card of twice the price the holder pays twice as much."""
    books = make_books(book("holder"))
    tell(books, reservation())
    dearer = book("holder", gpu_hour={"a100-40gb": Decimal(4)}, cpu_hour=Decimal("0.2"))
    hold_prices(books.ledger, make_kinds(dearer), "other")
    books.ledger.refresh()
    assert charged(books) == {"nlp": "19.200000"}


def test_a_closed_day_is_corrected_on_the_first_open_one(make_books: Callable[..., Books]) -> None:
    """An outage that becomes known after the close gives money back in the open month, and only once."""
    books = make_books(book("holder"))
    tell(books, reservation())
    close_period(
        books.ledger, "2026-01", DAY, date(2026, 1, 31), author="ann", today=date(2026, 2, 3), now=NOON
    )
    for _ in range(2):
        tell(books, reservation(), outages=(Outage(node="a100-1", started=NOON, ended=NOON + HOUR),))
    lines = usage(books.ledger, ["day"])
    assert [(line["day"], line["cost"]) for line in lines] == [
        ("2026-01-01", "9.600000"),
        ("2026-02-01", "-4.800000"),
    ]
    tell(books, reservation())
    books.ledger.refresh()
    assert charged(books) == {"nlp": "4.800000"}  # the outage is a fact of the ledger now


def test_a_reservation_without_a_price_is_refused_not_free(make_books: Callable[..., Books]) -> None:
    """Its line says why, and the day counts a refused charge."""
    books = make_books(book("holder", gpu_hour={}))
    tell(books, reservation())
    (line,) = reservation_lines(books.ledger, DAY.toordinal(), DAY.toordinal())
    assert "no price for GPU model" in line["why"]
    assert [line["refused"] for line in usage(books.ledger, [])] == [1]
    (problem,) = refused_reservations(books.ledger)
    assert (problem["words"], problem["count"]) == (line["why"], 1)


def test_a_site_that_charges_no_reservations_has_none_refused(make_books: Callable[..., Books]) -> None:
    """Without a price for the nodes nothing is missing where nobody pays."""
    books = make_books(book("jobs", gpu_hour={}))
    tell(books, reservation())
    assert (charged(books), refused_reservations(books.ledger)) == ({}, [])


def test_a_node_costs_what_its_dearest_partition_asks(make_books: Callable[..., Books]) -> None:
    """A job in spot pays 40 %; the rest of the node's price is idle."""
    books = make_books(book("jobs"))
    books.take(row(Partition="spot"))
    tell(books)
    found = capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY).capacity
    assert (found.total, found.charged) == (48 * NODE_HOUR, {"nlp": NODE_HOUR * 4 // 10})


def test_a_node_that_was_changed_costs_what_it_had_then(make_books: Callable[..., Books]) -> None:
    """Two GPUs until noon, four after it; what it had before it was first seen is taken to be the same."""
    books = make_books(book("jobs"))
    tell(books, until=NOON - HOUR)
    four = NodeKind("cpu=8,node=1,gres/gpu=4,gres/gpu:a100=4", ("a100",))
    facts.keep_nodes(books.ledger, "alpha", {"a100-2": four}, NOON)
    tell_until = NOON + 12 * HOUR
    facts.keep_reservations(books.ledger, "alpha", [], {}, str, tell_until)
    found = capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY).capacity
    assert found.total == 36 * NODE_HOUR + 12 * (8_000_000 + 800_000)


def test_a_controller_that_was_away_leaves_the_nodes_there(make_books: Callable[..., Books]) -> None:
    """A gap between two entries of the cluster is no time without nodes; a node that left it is gone."""
    books = make_books(book("jobs"))
    tell(books)
    members = [
        Membership(started=NOON - 12 * HOUR, ended=NOON - 6 * HOUR, nodes=("a100-1", "a100-2")),
        Membership(started=NOON, ended=None, nodes=("a100-1",)),
    ]
    facts.keep_events(books.ledger, "alpha", members, [])
    found = capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY)
    assert (found.node_hours, found.capacity.total) == (36, 36 * NODE_HOUR)


def test_what_the_ledger_does_not_know_is_said(make_books: Callable[..., Books]) -> None:
    """No nodes, other days, a node without a price."""
    books = make_books(book("jobs"))
    with pytest.raises(LedgerError, match="knows no nodes"):
        capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY)
    tell(books)
    with pytest.raises(LedgerError, match="from 2025-01-01"):
        capacity_of(books.ledger, books.kinds.rater, "alpha", date(2025, 1, 1), date(2025, 1, 2))
    with pytest.raises(RateError, match="no price"):
        capacity_of(books.ledger, make_kinds(book("jobs", gpu_hour={})).rater, "alpha", DAY, DAY)


spans_of_a_day = st.tuples(st.integers(-12 * HOUR, 11 * HOUR), st.integers(1, 12 * HOUR)).map(
    lambda pair: (NOON + pair[0], min(NOON + 12 * HOUR, NOON + pair[0] + pair[1]))
)
nodes = st.sampled_from([("a100-1",), ("a100-2",), ("a100-1", "a100-2")])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rule=st.sampled_from(["jobs", "unused", "holder"]),
    reserved=st.lists(st.tuples(spans_of_a_day, nodes, st.booleans(), st.integers(1, 16)), max_size=4),
    outages=st.lists(st.tuples(spans_of_a_day, st.sampled_from(["a100-1", "a100-2"])), max_size=4),
    jobs=st.lists(st.tuples(spans_of_a_day, st.sampled_from(["", "r0", "r1"]), st.sampled_from(["nlp", "x"])),
                  max_size=5),
)  # fmt: skip
def test_everything_adds_up_to_the_capacity_in_every_sharing_mode(
    make_books: Callable[..., Books], rule: str, reserved: Any, outages: Any, jobs: Any
) -> None:
    """Charged + idle + down + reserved = capacity, to the micro, for each way to share each of the three."""
    books = make_books(book(rule))
    if jobs:
        books.take(*[
            row(DBIndex=number, Account=account, Reservation=name, Start=start, End=stop,
                ElapsedRaw=stop - start, TimelimitRaw="", Submit=start)
            for number, ((start, stop), name, account) in enumerate(jobs, 1)
        ])  # fmt: skip
    tell(
        books,
        *[
            reservation(number=number, name=f"r{number}", started=start, ended=stop, nodes=names, cpus=cpus,
                        maintenance=maintenance)
            for number, ((start, stop), names, maintenance, cpus) in enumerate(reserved)
        ],
        outages=tuple(Outage(node=node, started=start, ended=stop) for (start, stop), node in outages),
    )  # fmt: skip
    found = capacity_of(books.ledger, books.kinds.rater, "alpha", DAY, DAY).capacity
    assert found.total == 48 * NODE_HOUR
    assert 0 <= found.down <= found.total
    assert found.reserved >= 0
    assert found.reserved == 0 or rule == "jobs"
    assert sum(found.charged.values()) == books.cost()
    for modes in product(get_args(Sharing), repeat=3):
        rows = share_out(found, dict(zip(("idle", "down", "reserved"), modes, strict=True)))
        assert sum(sum(parts.values()) for parts in rows.values()) == found.total
        assert sum(parts["charged"] for parts in rows.values()) == books.cost()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))),
       st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))))  # fmt: skip
def test_spans_are_sets_of_seconds(ours: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    """Joining, cutting and taking out are union, intersection and difference."""

    def seconds(spans: list[tuple[int, int]]) -> set[int]:
        return {second for start, stop in spans for second in range(start, stop)}

    assert seconds(joined(ours)) == seconds(ours)
    assert seconds(within(ours, others)) == seconds(ours) & seconds(others)
    assert seconds(without(ours, others)) == seconds(ours) - seconds(others)
    assert joined(without(ours, others)) == without(ours, others)
