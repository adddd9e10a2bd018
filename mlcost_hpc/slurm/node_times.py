"""When a cluster had which nodes, when they were down, and what was reserved: ``sacctmgr`` (pure).

Run the commands with ``SLURM_TIME_FORMAT=%s``, like all our questions. slurmdbd keeps reservations and node
events, so both can be asked for long after they ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from mlcost_hpc.errors import SlurmAnswerError, UnitError
from mlcost_hpc.slurm.api import Reject
from mlcost_hpc.slurm.commands import show_accounting
from mlcost_hpc.slurm.hostlist import expand_hostlist
from mlcost_hpc.slurm.values import parse_moment, parse_tres_cached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")
_RESERVATION_FIELDS = ("ID", "Start", "End", "TRES", "NodeNames", "Associations", "Flags", "Name")
_EVENT_FIELDS = ("NodeName", "TimeStart", "TimeEnd", "ClusterNodes")
_ASSOCIATION_FIELDS = ("ID", "Account")


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation between two changes of it: slurmdbd begins a new row at each change.

    Attributes:
        number: its id; rows of one reservation share it.
        started, ended: UTC seconds; the end is the planned one until it is over.
        name: its name.
        nodes: its nodes.
        cpus: CPUs it holds, all of the nodes' or some.
        associations: ids of the associations that may use it; none where it only says who may not.
        maintenance: True for ``MAINT``: the site's own, nobody's.
    """

    number: int
    started: int
    ended: int
    name: str
    nodes: tuple[str, ...]
    cpus: int
    associations: tuple[int, ...]
    maintenance: bool


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that the cluster had together; ``ended`` is None while it still has them."""

    started: int
    ended: int | None
    nodes: tuple[str, ...]


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A node that took no jobs (down, drained, failed); ``ended`` is None while it still does not."""

    node: str
    started: int
    ended: int | None


class NodeEvents(NamedTuple):
    """What ``sacctmgr show event`` told."""

    memberships: tuple[Membership, ...]
    outages: tuple[Outage, ...]
    rejects: tuple[Reject, ...]


def show_reservations(cluster: str, start: int, end: int) -> list[str]:
    """Return the command for the reservations that overlap a time of UTC seconds."""
    return _show("reservation", cluster, _RESERVATION_FIELDS, [f"start=uts{start}", f"end=uts{end}"])


def show_events(cluster: str, start: int, end: int) -> list[str]:
    """Return the command for the events of nodes and of the cluster that overlap a time of UTC seconds."""
    return _show("event", cluster, _EVENT_FIELDS, [f"start=uts{start}", f"end=uts{end}"])


def show_association_ids(cluster: str) -> list[str]:
    """Return the command for the accounts of a cluster's associations."""
    return _show("associations", cluster, _ASSOCIATION_FIELDS, [])


def parse_association_ids(text: str) -> dict[int, str]:
    """Return association id -> account."""
    found = {}
    for line in text.splitlines():
        number, _, account = line.partition("|")
        if number.isdecimal() and account:
            found[int(number)] = account
    return found


def parse_reservations(text: str) -> tuple[tuple[Reservation, ...], tuple[Reject, ...]]:
    """Return the reservations that have an id, times and nodes, and the lines that could not be read."""
    rejects: list[Reject] = []
    found = tuple(_rows(text, len(_RESERVATION_FIELDS), _reservation, rejects))
    return tuple(one for one in found if one.nodes and one.ended > one.started), tuple(rejects)


def parse_events(text: str) -> NodeEvents:
    """Return the cluster's nodes and their outages, and the lines that could not be read."""
    rejects: list[Reject] = []
    found = tuple(_rows(text, len(_EVENT_FIELDS), _event, rejects))
    return NodeEvents(
        # A controller that was away is an event without nodes.
        memberships=tuple(one for one in found if isinstance(one, Membership) and one.nodes),
        outages=tuple(one for one in found if isinstance(one, Outage)),
        rejects=tuple(rejects),
    )


def _show(entity: str, cluster: str, fields: tuple[str, ...], options: list[str]) -> list[str]:
    return show_accounting(entity, f"cluster={cluster}", *options, f"format={','.join(fields)}")


def _rows(text: str, width: int, read: Callable[[list[str]], _T], rejects: list[Reject]) -> Iterator[_T]:
    for line in filter(str.strip, text.splitlines()):
        fields = line.split("|", width - 1)  # the last one, a name, may hold anything
        if len(fields) != width:
            rejects.append(Reject(text=line, why=f"{len(fields)} fields, {width} expected"))
            continue
        try:
            yield read(fields)
        except (UnitError, SlurmAnswerError, ValueError) as error:
            rejects.append(Reject(text=line, why=str(error)))


def _reservation(fields: list[str]) -> Reservation:
    number, start, end, tres, nodes, associations, flags, name = fields
    started, ended = parse_moment(start), parse_moment(end)
    if started is None or ended is None:
        raise UnitError("a reservation without a time")
    return Reservation(
        number=int(number),
        started=started,
        ended=ended,
        name=name,
        nodes=expand_hostlist(nodes),
        cpus=parse_tres_cached(tres).cpus,
        # A number below zero says who may not use it.
        associations=tuple(int(one) for one in associations.split(",") if one.isdecimal()),
        maintenance="MAINT" in flags.upper().split(","),
    )


def _event(fields: list[str]) -> Membership | Outage:
    node, start, end, nodes = fields
    started = parse_moment(start)
    if started is None:
        raise UnitError("an event without a time")
    if node:
        return Outage(node=node, started=started, ended=parse_moment(end))
    return Membership(started=started, ended=parse_moment(end), nodes=expand_hostlist(nodes))
