"""Runs rated by the hundred thousand: what differs between few runs is worked out once for each kind (pure).

Under a card without rules about whole runs the charge of a run is seconds x price: such runs are charged many
at a time (:mod:`mlcost_accounting.quickrate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from mlcost_accounting.dims import Dims
from mlcost_accounting.rating import Span
from mlcost_hpc.errors import RateError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            if not self._rater.is_simple(card, self.kind.state) or self._must_check(card):
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
        self._known: dict[_KindFields, RatedKind] = {}

    def find_all(self, kinds: Sequence[_KindFields]) -> list[RatedKind]:
        """Return the kind of each run, given as the fields of :class:`Kind`."""
        known = self._known
        # A comment can be different in every run: what is remembered must not grow for ever.
        if len(known) > _MOST_KINDS:
            known.clear()
        found = [known.get(kind) for kind in kinds]
        for position, rated in enumerate(found):
            if rated is None:
                kind = kinds[position]
                if kind not in known:
                    known[kind] = RatedKind(Kind(*kind), self.rater, self._projects)
                found[position] = known[kind]
        return cast("list[RatedKind]", found)


_KindFields = tuple[str, str, str, str, str, str, str, int, str, str]
_MOST_KINDS = 100_000
