"""What a cluster's accounting can tell, and to whom (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.slurm.findings import Facts, Finding
from mlcost_hpc.slurm.values import parse_names, text_or_empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlcost_hpc.slurm.cluster_settings import ClusterSettings

_HIDES_JOBS = frozenset({"jobs", "usage", "accounts", "users"})


def accounting_findings(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    """Say whether accounting answers, what it hides, and for how long it keeps the past."""
    if not settings.has_accounting:
        yield Finding(
            check="accounting",
            status="warning",
            finding="this cluster keeps no accounting (no slurmdbd)",
            advice="offers and submitting work; history, chargeback and budgets do not; a job that the "
            f"controller forgets after {settings.min_job_age_s} s is known by its files only",
        )
        return
    if facts.accounting_error:
        yield Finding(
            check="accounting",
            status="error",
            finding=facts.accounting_error,
            advice="nothing is lost: slurmctld keeps the records until slurmdbd is back; ingest again then",
        )
        return
    yield Finding(check="accounting", status="ok", finding="sacct answers")
    yield from _privacy(facts, settings)
    yield from _database(facts.database)
    if not settings.stores_comment:
        yield Finding(
            check="accounting",
            status="info",
            finding="job comments are not kept (AccountingStoreFlags lacks job_comment)",
            advice="tags that jobs carry in their comment do not reach the reports",
        )


def _privacy(facts: Facts, settings: ClusterSettings) -> Iterator[Finding]:
    """Say what is hidden: slurmdbd and slurmctld each have a PrivateData of their own."""
    if facts.admin_level not in ("", "None"):
        return
    user = facts.user or "this user"
    in_database = frozenset(parse_names(facts.database.get("PrivateData", ""))) & _HIDES_JOBS
    if in_database:
        yield Finding(
            check="accounting",
            status="warning",
            finding=f"{user} sees own jobs only (slurmdbd's PrivateData={','.join(sorted(in_database))})",
            advice="reports for a group need a user with AdminLevel=Operator, or the account's coordinator",
        )
    if "jobs" in settings.private_data:
        yield Finding(
            check="controller",
            status="info",
            finding=f"the queue shows {user} own jobs only (PrivateData=jobs)",
            advice="how many others wait cannot be seen, so waits are guessed from history",
        )


def _database(database: Mapping[str, str]) -> Iterator[Finding]:
    """Say for how long the past can be asked about."""
    if kept := text_or_empty(database.get("PurgeJobAfter", "")):
        yield Finding(
            check="accounting",
            status="info",
            finding=f"slurmdbd deletes the records of jobs after {kept} (PurgeJobAfter)",
            advice="what was ingested before stays in the ledger",
        )
    longest = database.get("MaxQueryTimeRange", "")
    if longest and longest != "UNLIMITED":
        yield Finding(
            check="accounting",
            status="info",
            finding=f"slurmdbd refuses questions about more than {longest} at once (MaxQueryTimeRange)",
        )
