"""The controller's settings and what they mean."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import Version
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings
from mlcost_hpc.slurm.parse_config import (
    parse_config,
    parse_database_config,
    parse_helpformat,
    parse_version,
)

CONFIG = """Configuration data as of 2026-11-25T06:16:50
AccountingStorageTRES   = cpu,mem,energy,node,billing,gres/gpu,gres/gpu:a100
AccountingStorageType   = accounting_storage/slurmdbd
AccountingStorageEnforce = associations,limits,qos
AccountingStoreFlags    = job_comment,job_env
AuthInfo                = socket=/run/munge.socket,cred_expire=10
ClusterName             = alpha
GresTypes               = gpu
JobRequeue              = 1
KillWait                = 30 sec
MaxArraySize            = 1001
MinJobAge               = 300 sec
OverTimeLimit           = 5 min
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
PreemptExemptTime       = 00:10:00
PreemptParameters       = (null)
PrivateData             = jobs,usage
SchedulerParameters     = max_array_tasks=500,bf_window=1440
SchedulerType           = sched/backfill
SLURM_VERSION           = 22.05.8
SlurmctldParameters     = preempt_send_user_signal
TaskPluginParam         = (null type)

Cgroup Support Configuration:
KillWait                = 99 sec

Slurmctld(primary) at vm is UP
"""


def settings(**changes: str):  # type: ignore[no-untyped-def]
    return read_cluster_settings({"SLURM_VERSION": "24.11.5"} | changes)


def test_names_and_values_as_printed() -> None:
    """The first of equal names counts, (null) is empty, and lines that are no settings are passed over."""
    config = parse_config(CONFIG)
    assert config["KillWait"] == "30 sec"
    assert config["PreemptParameters"] == ""
    assert config["SLURM_VERSION"] == "22.05.8"
    assert not [name for name in config if " " in name]


def test_what_the_settings_mean() -> None:
    """Preemption, accounting and arrays are read from one answer."""
    cluster = read_cluster_settings(parse_config(CONFIG))
    assert cluster.version == Version(22, 5, 8)
    assert (cluster.preempt_type, cluster.preempt_mode, cluster.preempts) == (
        "partition_prio",
        "REQUEUE",
        True,
    )
    assert cluster.user_signal
    assert cluster.preempt_exempt_time_s == 600
    assert (cluster.kill_wait_s, cluster.requeue_delay_s, cluster.over_time_limit_s) == (30, 11, 300)
    assert (cluster.max_array_size, cluster.max_array_tasks) == (1001, 500)
    assert cluster.private_data == {"jobs", "usage"}
    assert cluster.has_accounting
    assert cluster.tracks_gpus
    assert cluster.tracked_gpu_types == {"a100"}
    assert cluster.stores_comment
    assert cluster.enforce == {"associations", "limits", "qos"}


@pytest.mark.parametrize(
    "changes",
    [
        {"PreemptParameters": "send_user_signal,youngest_first"},
        {"SlurmctldParameters": "idle_on_node_suspend,preempt_send_user_signal"},
    ],
)
def test_both_spellings_of_the_user_signal(changes: dict[str, str]) -> None:
    """Before 23.02 the switch is among the controller's parameters."""
    assert settings(**changes).user_signal


def test_defaults_of_slurm_where_nothing_is_said() -> None:
    """A bare cluster preempts nobody, keeps no accounts and makes a requeued job wait two minutes."""
    cluster = settings()
    assert not cluster.user_signal
    assert not cluster.preempts
    assert not cluster.has_accounting
    assert not cluster.tracks_gpus
    assert cluster.job_requeue
    assert cluster.requeue_delay_s == 121


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"AuthInfo": "cred_expire=5"}, 6),
        ({"SchedulerParameters": "requeue_delay=20", "AuthInfo": "cred_expire=5"}, 20),
        ({"SlurmctldParameters": "requeue_delay=0"}, 0),
    ],
)
def test_how_long_a_requeued_job_waits(changes: dict[str, str], seconds: int) -> None:
    """The delay set by the site counts, else the life of credentials."""
    assert settings(**changes).requeue_delay_s == seconds


def test_jobs_may_run_over_their_limit_for_ever() -> None:
    """UNLIMITED is no number of minutes."""
    assert settings(OverTimeLimit="UNLIMITED").over_time_limit_s is None


def test_no_private_data() -> None:
    """The word none hides nothing."""
    assert settings(PrivateData="none").private_data == frozenset()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("slurm-wlm 22.05.8", Version(22, 5, 8)),
        ("slurm 26.05.0-0rc1", Version(26, 5, 0)),
        ("24.11", Version(24, 11, 0)),
    ],
)
def test_versions(text: str, version: Version) -> None:
    """Debian's name and release candidates are understood."""
    assert parse_version(text) == version


def test_versions_are_ordered_and_printed_as_people_know_them() -> None:
    """22.05 is before 22.10 and keeps its zero."""
    assert Version(22, 5, 8) < Version(22, 10, 0) < Version(24, 11, 5)
    assert (str(Version(22, 5, 8)), Version(22, 5, 8).release) == ("22.05.8", "22.05")


def test_a_text_without_a_version_is_refused() -> None:
    """Something else than Slurm on PATH is noticed."""
    with pytest.raises(SlurmAnswerError, match="no Slurm version"):
        parse_version("sinfo: GNU texinfo")


@pytest.mark.parametrize("text", ["", "Konfiguration\n", CONFIG[:-1], "KillWait = 30 sec\n"])
def test_answers_that_are_none(text: str) -> None:
    """Half an answer or another text is an error."""
    with pytest.raises(SlurmAnswerError):
        parse_config(text)


def test_fields_that_sacct_knows() -> None:
    """The table of names is read whatever its layout."""
    assert parse_helpformat("Account  AdminComment\nDBIndex\n") == {"account", "admincomment", "dbindex"}


def test_slurmdbd_has_settings_of_its_own() -> None:
    """Those behind its heading count, not the controller's of the same name before it."""
    text = (
        "Configuration data as of now\nPrivateData            = jobs,usage\n\nSlurmDBD configuration:\n"
        "PrivateData            = none\nPurgeJobAfter          = 12months\n"
    )
    assert parse_database_config(text) == {"PrivateData": "", "PurgeJobAfter": "12months"}
    assert parse_database_config("PrivateData = jobs\n") == {}
