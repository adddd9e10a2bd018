"""What a live cluster tells of its nodes, their outages and reservations, into the ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_accounting.node_prices import NodeKind

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.slurm.api import Node


def keep_node_facts(context: Context, ledger: Ledger, cluster: str, start: int, end: int) -> None:
    """Ask what nodes, events and reservations there were in a time (UTC seconds), and keep it.

    Raises:
        SlurmError: when the cluster does not answer.
    """
    from mlcost_accounting.ledger import capacity_book as book
    from mlcost_accounting.ledger.rejects import keep_rejects
    from mlcost_accounting.ledger.reservation_charges import PARTITION
    from mlcost_accounting.projects import ProjectMap, load_projects

    from mlcost_hpc.slurm import node_times
    from mlcost_hpc.slurm.process import run

    timeout_s = context.settings.slurm.timeout_s
    seen = min(int(time.time()), max(end, start))
    nodes = context.slurm.nodes()
    events = node_times.parse_events(
        run(node_times.show_events(cluster, start, end), timeout_s=timeout_s).stdout
    )
    reservations, rejects = node_times.parse_reservations(
        run(node_times.show_reservations(cluster, start, end), timeout_s=timeout_s).stdout
    )
    accounts = (
        node_times.parse_association_ids(
            run(node_times.show_association_ids(cluster), timeout_s=timeout_s).stdout
        )
        if reservations
        else {}
    )
    book.keep_nodes(ledger, cluster, {node.name: kind_of(node) for node in nodes}, seen)
    book.keep_events(ledger, cluster, events.memberships, events.outages)
    rules = context.settings.paths.projects
    projects = load_projects(Path(rules)) if rules else ProjectMap()
    book.keep_reservations(
        ledger,
        cluster,
        reservations,
        accounts,
        lambda account: projects.project_of(account, "", PARTITION, "", ""),
        seen,
    )
    keep_rejects(ledger, (*events.rejects, *rejects), cluster=cluster, seen=seen, separator="\x1f")


def kind_of(node: Node) -> NodeKind:
    """Return what a node has as a TRES list, and its partitions."""
    from mlcost_accounting.node_prices import NodeKind

    from mlcost_hpc.slurm.api import UNTYPED
    from mlcost_hpc.units import Tres, format_tres

    tres = Tres(
        cpus=node.cpus,
        memory=node.memory,
        nodes=1,
        gpus=sum(node.gpus.values()),
        gpu_types={name: count for name, count in node.gpus.items() if name != UNTYPED},
    )
    return NodeKind(format_tres(tres), tuple(sorted(node.partitions)))
