"""Reading a live cluster's accounting: what ``ingest`` and ``daemon`` share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mlcost_hpc.errors import SlurmCommandError, SlurmError, UsageError
from mlcost_hpc.people import user_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.collect import Collector
    from mlcost_accounting.ingest import Ingest
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.slurm.cluster_settings import ClusterSettings


def collector_of(
    context: Context, ledger: Ledger, taker: Ingest, kinds: Kinds, on_slice: Callable[[int, int], None]
) -> Collector:
    """Return what collects the configured cluster, after a look at whether its answers can be trusted.

    Raises:
        UsageError: when job data are private and this user would silently see only his own.
        SlurmError: when the cluster does not answer.
    """
    from mlcost_accounting.collect import Collector

    from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
    from mlcost_hpc.slurm.sacct_source import RecordSource, SacctSource

    slurm = context.settings.slurm
    settings = read_cluster_settings(context.slurm.config())
    check_private_data(settings, slurm.timeout_s)
    cluster = slurm.cluster or settings.cluster
    keep_untracked(context, ledger, kinds, settings)
    keep_hierarchy(ledger, cluster, slurm.timeout_s)
    source = (
        SacctSource(timeout_s=slurm.timeout_s, cluster=slurm.cluster)
        if context.slurm.name == "cli"
        else RecordSource(context.slurm)
    )

    def on_rows(start: int, end: int) -> None:
        keep_capacity(context, ledger, kinds, cluster, start, end)

    return Collector(source, cluster, taker, ledger, on_slice=on_slice, on_rows=on_rows)


def check_private_data(settings: ClusterSettings, timeout_s: float) -> None:
    """Refuse to account with a user who sees only his own jobs.

    Raises:
        UsageError: naming the setting and the right that is missing.
    """
    from mlcost_hpc.slurm.process import run
    from mlcost_hpc.slurm.sacctmgr import sees_all_jobs, show_admin_level

    if "jobs" not in settings.private_data:
        return
    user = user_name()
    answer = run(show_admin_level(user), timeout_s=timeout_s).stdout
    if not sees_all_jobs(answer, os.getuid()):
        raise UsageError(
            f"this cluster has PrivateData=jobs and {user} is no operator: Slurm would show only jobs of "
            f"{user} (sacctmgr modify user {user} set AdminLevel=Operator)"
        )


def keep_untracked(context: Context, ledger: Ledger, kinds: Kinds, settings: ClusterSettings) -> None:
    """Note partitions whose GPUs Slurm does not count: their runs are refused, not charged as CPU jobs."""
    untracked: list[str] = []
    if not settings.tracks_gpus:
        gpu_nodes = {node.name for node in context.slurm.nodes() if node.gpus}
        untracked = sorted(
            partition.name for partition in context.slurm.partitions() if gpu_nodes & {*partition.node_names}
        )
    if untracked:
        click.echo(
            "mlcost: this cluster does not count GPUs (AccountingStorageTRES lacks gres/gpu): runs in "
            f"{', '.join(untracked)} are kept but not charged",
            err=True,
        )
    ledger.set_meta("untracked", ",".join(untracked))
    kinds.rater.untracked = frozenset(untracked)


def keep_hierarchy(ledger: Ledger, cluster: str, timeout_s: float) -> None:
    """Keep the tree of accounts; reports do without it where sacctmgr does not answer."""
    from mlcost_accounting.ledger.hierarchy import keep_accounts

    from mlcost_hpc.slurm.process import run
    from mlcost_hpc.slurm.sacctmgr import parse_accounts, show_accounts

    try:
        keep_accounts(
            ledger, cluster, parse_accounts(run(show_accounts(cluster), timeout_s=timeout_s).stdout)
        )
    except SlurmCommandError as error:
        click.echo(f"mlcost: the tree of accounts is not read: {error}", err=True)
    except SlurmError:
        return


def keep_capacity(context: Context, ledger: Ledger, kinds: Kinds, cluster: str, start: int, end: int) -> None:
    """Keep a time's nodes, outages and reservations, and charge reservations.

    Where sacctmgr does not tell of them that is said, and charges of jobs are as they are.
    """
    from mlcost_accounting.ledger.reservation_charges import charge_reservations

    from mlcost_hpc.cli.node_facts import keep_node_facts

    try:
        keep_node_facts(context, ledger, cluster, start, end)
    except SlurmError as error:
        click.echo(f"mlcost: nodes and reservations are not read: {error}", err=True)
        return
    with ledger.transaction():
        charge_reservations(ledger, kinds.rater, ended_since=start)


def read_use(context: Context, ledger: Ledger) -> int:
    """Ask what the steps of finished runs used, 200 runs a call; return how many have figures."""
    from mlcost_accounting.ledger.efficiency import keep_use, runs_without_use

    from mlcost_hpc.slurm.sacct_source import SacctSource

    slurm = context.settings.slurm
    source = SacctSource(timeout_s=slurm.timeout_s, cluster=slurm.cluster)
    cluster = slurm.cluster or context.slurm.config()["ClusterName"]
    found = 0
    while runs := runs_without_use(ledger, cluster, _JOBS_AT_ONCE):
        since = min(run["submitted"] for run in runs)
        found += keep_use(ledger, runs, source.steps([run["raw_job_id"] for run in runs], since))
    return found


_JOBS_AT_ONCE = 200
