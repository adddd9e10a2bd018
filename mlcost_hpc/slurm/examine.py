"""A read-only look at a cluster: the facts that :mod:`mlcost_hpc.slurm.diagnosis` judges."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import SlurmError
from mlcost_hpc.slurm import associations, commands, sacctmgr
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
from mlcost_hpc.slurm.findings import Facts
from mlcost_hpc.slurm.parse_config import parse_database_config, parse_version
from mlcost_hpc.slurm.process import run
from mlcost_hpc.slurm.values import text_or_empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_hpc.slurm.api import Slurm

_LOOK_BACK_S = 60


def examine(slurm: Slurm, *, why: str, user: str, environ: Mapping[str, str], timeout_s: float) -> Facts:
    """Return what a look at a cluster finds; a failure of Slurm becomes a fact. Nothing is changed there.

    Args:
        slurm: the cluster.
        why: why it is asked through this backend.
        user: who asks.
        environ: the environment Slurm's commands see.
        timeout_s: seconds after which a command is given up.
    """
    facts = Facts(
        backend=slurm.name,
        why=why,
        user=user,
        inside_job=environ.get("SLURM_JOB_ID", ""),
        environment_clusters=environ.get("SLURM_CLUSTERS", ""),
    )
    try:
        facts = msgspec.structs.replace(
            facts,
            settings=read_cluster_settings(slurm.config()),
            partitions=slurm.partitions(),
            nodes=slurm.nodes(),
        )
    except SlurmError as error:
        return msgspec.structs.replace(facts, settings=None, controller_error=str(error))
    facts = _with_client_version(facts, timeout_s)
    if facts.settings is None or not facts.settings.has_accounting:
        return facts
    now = int(time.time())
    try:
        slurm.runs(now - _LOOK_BACK_S, now)
    except SlurmError as error:
        return msgspec.structs.replace(facts, accounting_error=str(error))
    return msgspec.structs.replace(
        facts,
        admin_level=_admin_level(user, timeout_s),
        database=_database_config(timeout_s),
        qos=_qos(timeout_s) if facts.settings.preempt_type == "qos" else {},
    )


def _with_client_version(facts: Facts, timeout_s: float) -> Facts:
    try:
        version = parse_version(run(commands.sinfo_version(), timeout_s=timeout_s).stdout)
    except SlurmError:
        return facts  # no commands here: the library answered, so nothing is wrong
    return msgspec.structs.replace(facts, client_version=version)


def _admin_level(user: str, timeout_s: float) -> str:
    """Return the user's rights in accounting; empty when they cannot be asked for."""
    try:
        answer = run(sacctmgr.show_admin_level(user), timeout_s=timeout_s).stdout
    except SlurmError:
        return ""
    lines = answer.strip().split("\n")
    level = lines[-1].strip() if lines else ""
    return text_or_empty(level) or "None"


def _database_config(timeout_s: float) -> Mapping[str, str]:
    """Return slurmdbd's own settings; none when they cannot be asked for."""
    try:
        return parse_database_config(run(commands.database_config(), timeout_s=timeout_s).stdout)
    except SlurmError:
        return {}


def _qos(timeout_s: float) -> Mapping[str, associations.Qos]:
    """Return every QOS; none when they cannot be asked for."""
    try:
        return associations.parse_qos(run(associations.show_qos(), timeout_s=timeout_s).stdout)
    except SlurmError:
        return {}
