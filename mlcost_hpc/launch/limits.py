"""Limits that Slurm's accounting puts on a single job, and whether it keeps within them (pure).

For each limit the first of these that has it counts: the partition's QOS, the job's QOS, the user's
association (with what it inherits), as Slurm's page on resource limits says; the job's QOS goes first where
it has the flag OverPartQOS. What a group shares (Grp...) is also asked of every account above. What the group
holds already is not looked at: that delays a job, while what exceeds the whole share can never start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from mlcost_hpc.launch.miss import Miss
from mlcost_hpc.launch.rights import line_of
from mlcost_hpc.units import format_duration, format_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.launch.rights import Rights
    from mlcost_hpc.launch.shape import Shape
    from mlcost_hpc.slurm.api import Partition
    from mlcost_hpc.slurm.associations import Association, Limits


Kind = Literal["job", "node", "minutes", "wall"]


class Limit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One limit on a job.

    Attributes:
        kind: ``job``: what it holds; ``node``: on one node; ``minutes``: TRES minutes up to its time limit;
            ``wall``: its time limit, in seconds.
        tres: Slurm's name of what is limited; empty for ``wall``.
        most: how much; memory in bytes.
        whose: who sets it: ``account vision``, ``QOS high``.
    """

    kind: Kind
    most: int
    whose: str
    tres: str = ""


_OF_ONE_JOB: tuple[tuple[Kind, str], ...] = (
    ("job", "job"), ("job", "user"), ("node", "node"), ("minutes", "job_minutes"),
)  # fmt: skip
_OF_A_GROUP: tuple[tuple[Kind, str], ...] = (("job", "group"), ("minutes", "group_minutes"))


class _Source(NamedTuple):
    whose: str
    limits: Limits


def association_for(rights: Rights, account: str, partition: str) -> Association | None:
    """Return the user's association with an account in a partition, else everywhere; None = there is none."""
    mine = [item for item in rights.associations or () if item.account == account]
    for where in (partition, ""):
        for item in mine:
            if item.partition == where:
                return item
    return None


def qos_of(rights: Rights, need: Need, partition: str) -> str:
    """Return the QOS of a job of this need in a partition; empty = not known.

    A job that asks for none gets, as slurmctld does it whether associations are enforced or not: the default
    of the user's association, the only one that has, the root account's default, ``normal``.
    """
    if need.qos:
        return need.qos
    own = association_for(rights, (need.account or rights.default_account).lower(), partition)
    if own is not None and own.default_qos:
        return own.default_qos
    if own is not None and len(own.qos) == 1:
        return own.qos[0]
    root = rights.accounts.get("root")
    return "" if root is None else root.default_qos or "normal"


def limits_on(rights: Rights, need: Need, partition: Partition) -> tuple[Limit, ...]:
    """Return the limits on a job of this need in a partition."""
    account = (need.account or rights.default_account).lower()
    own = association_for(rights, account, partition.name)
    if own is None:
        return ()
    return tuple(_limits(_sources(rights, need, partition, own), rights, account))


def wall_of(limits: Iterable[Limit]) -> int | None:
    """Return the longest time limit that the limits allow; None = any."""
    return min((item.most for item in limits if item.kind == "wall"), default=None)


def over_limits(limits: Collection[Limit], gpu_type: str, shape: Shape, time_s: int) -> Iterator[Miss]:
    """Yield every limit that a job exceeds.

    Args:
        limits: the limits.
        gpu_type: GRES type of its GPUs.
        shape: what it asks of each node.
        time_s: its time limit.
    """
    if not limits:
        return
    gpus = {"gres/gpu": shape.gpus, f"gres/gpu:{gpu_type}": shape.gpus}
    node = {"cpu": shape.cpus, "mem": shape.memory, **gpus}
    whole = {name: amount * shape.nodes for name, amount in node.items()} | {"node": shape.nodes}
    for limit in limits:
        if limit.kind == "wall":
            asked = time_s
        elif limit.kind == "minutes":
            asked = whole.get(limit.tres, 0) * time_s // 60
        else:
            asked = (node if limit.kind == "node" else whole).get(limit.tres, 0)
        if asked > limit.most:
            yield _miss(limit, asked)


def with_limits(offers: Sequence[Offer], limits: Mapping[str, tuple[Limit, ...]]) -> tuple[Offer, ...]:
    """Return offers with the limits that hold in their partitions.

    Args:
        offers: the offers.
        limits: partition -> limits on a job there.
    """
    return tuple(
        msgspec.structs.replace(offer, limits=found) if (found := limits.get(offer.partition)) else offer
        for offer in offers
    )


def notes_on(rights: Rights, limits: Mapping[str, tuple[Limit, ...]]) -> Iterator[str]:
    """Yield what is not known of the user's limits, for a person."""
    if rights.note:
        yield rights.note
    names = sorted({name for found in limits.values() for name in unchecked(found)})
    if names:
        yield f"your limits on {', '.join(names)} are not checked: what a job takes of them is not known"


def unchecked(limits: Iterable[Limit]) -> frozenset[str]:
    """Return what is limited of which it is not known how much a job takes: billing, licences."""
    known = ("cpu", "mem", "node", "gres/gpu", "")
    return frozenset(
        item.tres for item in limits if item.tres not in known and not item.tres.startswith("gres/gpu:")
    )


def _sources(rights: Rights, need: Need, partition: Partition, own: Association) -> list[_Source]:
    mine = _Source(f"account {own.account}", own.limits)
    name = qos_of(rights, need, partition.name)
    wanted, theirs = rights.qos.get(name), rights.qos.get(partition.qos)
    qos = [] if wanted is None else [_Source(f"QOS {name}", wanted.limits)]
    if theirs is not None:
        of_partition = _Source(f"QOS {partition.qos} of {partition.name}", theirs.limits)
        goes_first = wanted is not None and wanted.over_partition
        qos = [*qos, of_partition] if goes_first else [of_partition, *qos]
    return [*qos, mine]


def _limits(sources: list[_Source], rights: Rights, account: str) -> Iterator[Limit]:
    for kind, field in _OF_ONE_JOB:
        yield from _first(sources, kind, field)
    line, _ = line_of(account, rights.accounts)
    above = [_Source(f"account {name}", rights.accounts[name].limits) for name in line]
    for kind, field in _OF_A_GROUP:
        in_qos = {item.tres for item in _first(sources[:-1], kind, field)}
        yield from _first(sources[:-1], kind, field)
        for source in (sources[-1], *above):
            yield from (item for item in _first([source], kind, field) if item.tres not in in_qos)
    wall = next((item for item in sources if item.limits.wall_s is not None), None)
    if wall is not None:
        yield Limit(kind="wall", most=wall.limits.wall_s or 0, whose=wall.whose)


def _first(sources: list[_Source], kind: Kind, field: str) -> Iterator[Limit]:
    """Yield each TRES's limit from the first source that has one."""
    seen: set[str] = set()
    for source in sources:
        amounts: Mapping[str, int] = getattr(source.limits, field)
        for tres, most in amounts.items():
            if tres not in seen:
                seen.add(tres)
                yield Limit(kind=kind, tres=tres, most=most, whose=source.whose)


def _miss(limit: Limit, asked: int) -> Miss:
    show = {"wall": format_duration}.get(limit.kind, format_memory if limit.tres == "mem" else str)
    most, wanted, name = show(limit.most), show(asked), _people_say(limit.tres)
    why = {
        "wall": f"a time limit of {most}; you asked for {wanted}",
        "minutes": f"a job {most} minutes of {name}; this one can take {wanted}",
        "node": f"a job {most} {name} on a node; this one takes {wanted}",
        "job": f"a job {most} {name}; this one takes {wanted}",
    }[limit.kind]
    return Miss(
        why=f"{limit.whose} allows {why}",
        gap=asked / limit.most - 1 if limit.most else float("inf"),
        remedy=_remedy(limit, most),
    )


def _people_say(tres: str) -> str:
    kind, _, gpu_type = tres.partition(":")
    name = {"gres/gpu": "GPUs", "cpu": "CPUs", "node": "nodes", "mem": "memory"}.get(kind, tres)
    return f"{gpu_type} {name}".strip()


def _remedy(limit: Limit, most: str) -> str:
    if limit.kind == "wall":
        return f"--time {most} (a job that saves goes on in its next run)"
    option = {"cpu": "--cpus", "node": "--nodes", "mem": "--mem"}.get(limit.tres, "--gpus")
    if limit.kind == "minutes":
        return f"a shorter --time or a smaller {option}"
    return f"--gpus {most}" if limit.kind == "job" and option == "--gpus" else f"a smaller {option}"
