"""Whether a job can be preempted where jobs preempt by QOS (``PreemptType=preempt/qos``), and how (pure).

There only the job's own QOS counts: another one that lists it, or it itself with ``WITHIN``. Mode and grace
time are those of the QOS. Of the partition Slurm asks for the nodes and nothing else: a ``PreemptMode=OFF``
and a ``GraceTime`` of its own change nothing, and neither does its QOS [tried on 26.05; preempt_qos.c].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlcost_hpc.launch.limits import qos_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.offers import Offer
    from mlcost_hpc.launch.rights import Rights
    from mlcost_hpc.slurm.associations import Qos
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

_WHOM_NOT_HOW = frozenset({"GANG", "WITHIN", "PRIORITY"})
"""Words of a PreemptMode that say who preempts whom, or share places; alone they leave a job where it is."""


class Fate(NamedTuple):
    """What jobs of a QOS have to expect.

    Attributes:
        qos: its name.
        preemptors: the QOS whose jobs take their places.
        mode: what then happens to them: ``REQUEUE``, ``CANCEL``, ``SUSPEND``; ``OFF`` = they are left alone.
        grace_s: the time they get, seconds.
    """

    qos: str
    preemptors: tuple[str, ...]
    mode: str
    grace_s: int

    @property
    def is_preemptible(self) -> bool:
        """True when jobs of this QOS can be preempted."""
        return self.mode != "OFF"


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What one job has to expect.

    Attributes:
        fates: partition -> its fate there; where it is not known the partition is missing.
        safe: QOS that the user may ask for instead and whose jobs nobody preempts.
        unknown: why it is not known somewhere; empty = it is known, or jobs do not preempt by QOS.
    """

    fates: Mapping[str, Fate] = {}
    safe: tuple[str, ...] = ()
    unknown: str = ""


def find_fate(name: str, every: Mapping[str, Qos], cluster_mode: str) -> Fate:
    """Return what jobs of a QOS have to expect.

    Args:
        name: the QOS, one of ``every``.
        every: all QOS by name.
        cluster_mode: PreemptMode of the cluster, for those that have none of their own.
    """
    own = every[name]
    mode = cluster_mode if own.preempt_mode in ("", "CLUSTER") else own.preempt_mode
    words = [word for word in mode.upper().split(",") if word not in _WHOM_NOT_HOW]
    preemptors = [other for other, qos in every.items() if other != name and name in qos.preempts]
    if "WITHIN" in f"{own.preempt_mode},{cluster_mode}".upper().split(","):
        preemptors.append(name)
    if not preemptors:
        words = []
    return Fate(name, tuple(preemptors), ",".join(words) or "OFF", own.grace_time_s)


def outlook_of(need: Need, rights: Rights, settings: ClusterSettings, partitions: Iterable[str]) -> Outlook:
    """Return what a job of this need has to expect in some partitions; nothing where QOS do not preempt."""
    if settings.preempt_type != "qos":
        return Outlook()
    names = {partition: qos_of(rights, need, partition).lower() for partition in partitions}
    known = {
        name: find_fate(name, rights.qos, settings.preempt_mode) for name in {*names.values()} & {*rights.qos}
    }
    strange = sorted({*names.values()} - {*known})
    return Outlook(
        fates={partition: known[name] for partition, name in sorted(names.items()) if name in known},
        safe=tuple(_safe(need, rights, settings)),
        unknown=_why(strange[0], rights) if strange else "",
    )


def with_outlook(offers: Sequence[Offer], outlook: Outlook) -> tuple[Offer, ...]:
    """Return offers that say whether, how and with which notice the job can be preempted there."""
    return tuple(
        msgspec.structs.replace(
            offer,
            qos=fate.qos,
            preemptible=fate.is_preemptible,
            preempt_mode=fate.mode,
            grace_time_s=fate.grace_s,
            safe_qos=outlook.safe,
        )
        if (fate := outlook.fates.get(offer.partition))
        else offer
        for offer in offers
    )


def outlook_notes(outlook: Outlook) -> Iterator[str]:
    """Yield for a person by whom the job can be preempted and how, or why that is not known."""
    distinct = {*outlook.fates.values()}
    for fate in sorted(distinct):
        there = [partition for partition, found in outlook.fates.items() if found == fate]
        where = f"in {', '.join(there)}: " if len(distinct) > 1 else ""
        yield f"{where}{_words(fate, outlook.safe)}"
    if outlook.unknown:
        yield (
            "jobs preempt by QOS here; whether this one can be preempted is not known and not priced in: "
            f"{outlook.unknown}"
        )


def _words(fate: Fate, safe: tuple[str, ...]) -> str:
    if not fate.is_preemptible:
        return f"jobs of QOS {fate.qos} cannot be preempted"
    instead = f"; of your QOS these cannot be preempted: {', '.join(safe)}" if safe else ""
    return (
        f"jobs of QOS {fate.qos} can be preempted by those of {', '.join(fate.preemptors)} "
        f"({fate.mode.lower()}, {fate.grace_s} s of grace){instead}"
    )


def _safe(need: Need, rights: Rights, settings: ClusterSettings) -> Iterator[str]:
    """Yield the user's own QOS whose jobs nobody preempts."""
    account = (need.account or rights.default_account).lower()
    mine = {name for item in rights.associations or () if item.account == account for name in item.qos}
    for name in sorted(mine & {*rights.qos}):
        if not find_fate(name, rights.qos, settings.preempt_mode).is_preemptible:
            yield name


def _why(name: str, rights: Rights) -> str:
    if not rights.qos:
        return rights.note or "Slurm was not asked for your QOS"
    return f"Slurm shows no QOS {name}" if name else rights.note or "Slurm does not show your default QOS"
