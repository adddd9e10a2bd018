"""Runs rated by the hundred thousand: what differs between few runs is worked out once for each kind (pure).

For a run that lies within one day under a card without rules about whole runs, the charge is seconds x price.
Everything else goes through :class:`~mlcost_accounting.rating.Rater`; a property test shows that they agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlcost_accounting.dims import Dims
from mlcost_accounting.rating import Span
from mlcost_hpc.errors import RateError
from mlcost_hpc.money import MICROS, round_micros

if TYPE_CHECKING:
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.projects import ProjectMap
    from mlcost_accounting.rating import Rater
    from mlcost_hpc.rates import RateCard


class Kind(NamedTuple):
    """What runs have in common that cost and are reported alike."""

    cluster: str
    account: str
    user: str
    partition: str
    qos: str
    state: str
    allocated: str
    node_count: int
    wckey: str
    comment: str


class Plan(NamedTuple):
    """How a run of a kind is charged under one card: micros per second, as a fraction."""

    numerator: int
    denominator: int


class RatedKind:
    """A kind with what is worked out for it.

    Attributes:
        kind: the kind.
        dims: what reports group it by.
        cpus, gpus, nodes: what a run of it holds.
        held_anything: False for runs that never got resources.
    """

    __slots__ = ("_plans", "_rater", "cpus", "dims", "gpus", "held_anything", "kind", "nodes")

    def __init__(self, kind: Kind, rater: Rater, projects: ProjectMap) -> None:
        self.kind = kind
        self._rater = rater
        self._plans: dict[int, Plan | None] = {}
        held = rater.held(self.span(0, 0, 0, None, "", 0))
        self.cpus, self.gpus, self.nodes = held.resources.cpus, held.gpus, held.resources.nodes
        self.held_anything = bool(kind.allocated)
        book = rater.book
        pool = book.card[-1].at(kind.partition).pool if book else ""
        self.dims = Dims(
            cluster=kind.cluster,
            account=kind.account,
            user=kind.user,
            partition=kind.partition,
            qos=kind.qos,
            gpu_model=held.gpu_model,
            state=kind.state,
            project=projects.project_of(kind.account, kind.qos, kind.partition, kind.wckey, kind.comment),
            pool=pool or ("gpu" if held.gpus else "cpu"),
            wckey=kind.wckey,
            tag=projects.tag_of(kind.comment),
        )

    def span(
        self,
        started: int,
        elapsed_s: int,
        suspended_s: int,
        time_limit_s: int | None,
        reservation: str,
        seen: int,
    ) -> Span:
        """Return one run of this kind."""
        kind = self.kind
        return Span(
            kind.partition, kind.qos, kind.state, kind.allocated, kind.node_count, started, elapsed_s,
            suspended_s, time_limit_s, reservation, seen,
        )  # fmt: skip

    def plan(self, day: int) -> Plan | None:
        """Return how a run within a day is charged; None = the long way."""
        card = self._rater.card_number(day)
        try:
            return self._plans[card]
        except KeyError:
            found = self._plans[card] = self._plan(day)
            return found

    def _plan(self, day: int) -> Plan | None:
        try:
            card = self._rater.card(day)
            if not self._rater.is_simple(card, self.kind.state) or self._must_check(card):
                return None
            price = self._rater.price(card, self.span(0, 0, 0, None, "", 0))
        except RateError:
            return None
        return Plan(price.numerator * MICROS, price.denominator * 3600)

    def _must_check(self, card: RateCard) -> bool:
        return card.reservations == "holder" or card.at(self.kind.partition).needs_gpus


class Kinds:
    """All kinds met so far.

    Args:
        rater: the prices.
        projects: the project rules.
    """

    def __init__(self, rater: Rater, projects: ProjectMap) -> None:
        self.rater = rater
        self._projects = projects
        self._known: dict[_KindFields, RatedKind] = {}

    def find(self, kind: _KindFields) -> RatedKind:
        """Return the kind of a run, given as the fields of :class:`Kind`."""
        found = self._known.get(kind)
        if found is None:
            # A comment can be different in every run: it is kept out of what is remembered for ever.
            if len(self._known) > _MOST_KINDS:
                self._known.clear()
            found = self._known[kind] = RatedKind(Kind(*kind), self.rater, self._projects)
        return found


def quick_charge(
    kind: RatedKind, calendar: Calendar, started: int, elapsed_s: int
) -> list[tuple[int, int, int, int, int, int, int]] | None:
    """Return the days of a run that is charged as seconds x price; None = take the long way.

    Args:
        kind: what the run is.
        calendar: the site's days.
        started: when it started.
        elapsed_s: how long it ran; it was never suspended.

    Returns:
        Rows with the fields of :class:`~mlcost_accounting.rating.Slice`.
    """
    day, _, ends = calendar.day_of(started)
    plan = kind.plan(day)
    if plan is None:
        return None
    numerator, denominator = plan
    cpus, gpus, nodes = kind.cpus, kind.gpus, kind.nodes
    if started + elapsed_s <= ends:
        cost = round_micros(numerator * elapsed_s, denominator)
        return [(day, elapsed_s, elapsed_s * cpus, elapsed_s * gpus, elapsed_s * nodes, cost, 0)]
    rows = []
    done = 0
    for number, begin, end in calendar.pieces(started, started + elapsed_s):
        if kind.plan(number) is not plan:
            return None
        wall = end - begin
        total = round_micros(numerator * (end - started), denominator)
        rows.append((number, wall, wall * cpus, wall * gpus, wall * nodes, total - done, 0))
        done = total
    return rows


_KindFields = tuple[str, str, str, str, str, str, str, int, str, str]
_MOST_KINDS = 500_000
