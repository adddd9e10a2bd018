"""Runs rated by the hundred thousand: what differs between few runs is worked out once for each kind (pure).

Under a card without rules about whole runs the charge of a run is seconds x price: such runs are charged many
at a time (:mod:`mlcost_accounting.quickrate`).
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from mlcost_accounting.charge import Span
from mlcost_accounting.dims import Dims
from mlcost_hpc.errors import RateError
from mlcost_hpc.slurm.repeated import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.projects import ProjectMap
    from mlcost_accounting.rating import Rater
    from mlcost_hpc.rates import RateCard
    from mlcost_hpc.slurm.repeated import Repeated
    from mlcost_hpc.slurm.sacct_columns import RunColumns


class Kind(NamedTuple):
    """What a run's price for a second depends on."""

    partition: str
    qos: str
    state: str
    allocated: str
    node_count: int


class Place(NamedTuple):
    """Where a kind stands in reports."""

    partition: str
    qos: str
    state: str
    gpu_model: str
    pool: str


class Plan(NamedTuple):
    """How a run of a kind is charged under one card: micros per second, as a fraction."""

    numerator: int
    denominator: int


class RatedKind:
    """A kind with what is worked out for it.

    Attributes:
        kind: the kind.
        cpus, gpus, nodes: what a run of it holds.
        place: where it stands in reports.
        held_anything: False for runs that never got resources.
    """

    __slots__ = ("_plans", "_rater", "cpus", "gpus", "held_anything", "kind", "nodes", "place")

    def __init__(self, kind: Kind, rater: Rater) -> None:
        self.kind = kind
        self._rater = rater
        self._plans: dict[int, Plan | None] = {}
        held = rater.held(self.span(0, 0, 0, None, "", 0))
        self.cpus, self.gpus, self.nodes = held.resources.cpus, held.gpus, held.resources.nodes
        self.held_anything = bool(kind.allocated)
        pool = rater.book.card[-1].at(kind.partition).pool if rater.book else ""
        self.place = Place(
            kind.partition, kind.qos, kind.state, held.gpu_model, pool or ("gpu" if held.gpus else "cpu")
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
        return Span(*self.kind, started, elapsed_s, suspended_s, time_limit_s, reservation, seen)

    def plan(self, card: int) -> Plan | None:
        """Return how a run is charged under a card (its number); None = the long way."""
        try:
            return self._plans[card]
        except KeyError:
            found = self._plans[card] = self._plan(card)
            return found

    def _plan(self, number: int) -> Plan | None:
        if number < 0 or self._rater.book is None:
            return None
        card = self._rater.book.card[number]
        try:
            if not self._rater.is_simple(card, self.kind.partition, self.kind.state) or self._must_check(
                card
            ):
                return None
            return Plan(*self._rater.per_second(card, self.span(0, 0, 0, None, "", 0)))
        except RateError:
            return None

    def _must_check(self, card: RateCard) -> bool:
        return card.reservations == "holder" or self._rater.needs_gpus(card, self.kind.partition)


class Kinds:
    """All kinds met so far.

    Args:
        rater: the prices.
        projects: the project rules.
    """

    def __init__(self, rater: Rater, projects: ProjectMap) -> None:
        self.rater = rater
        self._projects = projects
        self._rated: dict[Kind, RatedKind] = {}
        self._dims: dict[tuple[Any, ...], Dims] = {}

    def rated(self, columns: Sequence[Repeated[Any]]) -> Repeated[RatedKind]:
        """Return the kind of each run, given the columns of :class:`Kind`."""
        # Memory can be asked for by the byte: what is remembered must not grow for ever.
        if len(self._rated) > _MOST_KINDS:
            self._rated.clear()
        return together(columns).map(self._rate)

    def dims(self, columns: RunColumns, kinds: Repeated[RatedKind]) -> Repeated[Dims]:
        """Return what reports group each run by."""
        # A comment can be different in every run.
        if len(self._dims) > _MOST_DIMS:
            self._dims.clear()
        people = (columns.cluster, columns.account, columns.user, columns.wckey, columns.comment)
        places = kinds.map(attrgetter("place")).distinct()
        return together([*people, places]).map(self._place)

    def _rate(self, fields: tuple[Any, ...]) -> RatedKind:
        kind = Kind(*fields)
        found = self._rated.get(kind)
        if found is None:
            found = self._rated[kind] = RatedKind(kind, self.rater)
        return found

    def _place(self, fields: tuple[Any, ...]) -> Dims:
        found = self._dims.get(fields)
        if found is None:
            found = self._dims[fields] = self._new_dims(*fields)
        return found

    def _new_dims(
        self, cluster: str, account: str, user: str, wckey: str, comment: str, place: Place
    ) -> Dims:
        project = self._projects.project_of(account, place.qos, place.partition, wckey, comment)
        return Dims(
            cluster=cluster,
            account=account,
            user=user,
            **place._asdict(),
            project=project,
            wckey=wckey,
            tag=self._projects.tag_of(comment),
        )


_MOST_KINDS = 20_000
_MOST_DIMS = 20_000
