"""What pyslurm's typed values become; the records as a whole are compared on the real cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm import pyslurm_backend
from mlcost_hpc.slurm.cluster_settings import read_cluster_settings

# As pyslurm 25.11 gives them for a real 26.05 controller.
SETTINGS: dict[str, Any] = {
    "cluster_name": "alpha",
    "version": "26.05.5",
    "accounting_storage_type": "accounting_storage/slurmdbd",
    "accounting_storage_tres": ["cpu", "gres/gpu", "gres/gpu:a100"],
    "accounting_storage_enforce": ["ASSOCIATIONS", "LIMITS"],
    "accounting_store_flags": ["JOB_COMMENT"],
    "auth_info": ["use_client_ids", "cred_expire=5"],
    "gres_types": ["gpu"],
    "job_requeue": True,
    "kill_wait_time": 10,
    "max_array_size": 1001,
    "min_job_age": 300,
    "over_time_limit": None,
    "preempt_exempt_time": None,
    "preempt_mode": "REQUEUE",
    "preempt_parameters": {"send_user_signal": True, "youngest_first": False},
    "preempt_type": "preempt/partition_prio",
    "private_data": ["JOBS"],
    "scheduler_parameters": {"max_array_tasks": "500", "bf_window": 1440},
    "scheduler_type": "sched/backfill",
    "slurmctld_parameters": {},
}


def test_typed_settings_mean_the_same_as_printed_ones() -> None:
    """Lists, switches and numbers become the texts that scontrol prints."""
    cluster = read_cluster_settings(pyslurm_backend.config_texts(SETTINGS))
    assert (cluster.cluster, str(cluster.version)) == ("alpha", "26.05.5")
    assert (cluster.user_signal, cluster.job_requeue, cluster.stores_comment) == (True, True, True)
    assert (cluster.kill_wait_s, cluster.requeue_delay_s, cluster.max_array_tasks) == (10, 6, 500)
    assert cluster.enforce == {"associations", "limits"}
    assert cluster.private_data == {"jobs"}
    assert cluster.tracked_gpu_types == {"a100"}
    assert cluster.over_time_limit_s == 0


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("2-3", ["2", "3"]),
        ("1,5-7%2", ["1", "5", "6", "7"]),
        ("0-20:10", ["0", "10", "20"]),
        ("[4-5%2]", ["4", "5"]),
    ],
)
def test_waiting_tasks_of_an_array(text: str, tasks: list[str]) -> None:
    """Each index is a job of its own, whatever the list's form."""
    record = SimpleNamespace(array_tasks_waiting=text, array_id=7)
    patched = list(_ids(record))
    assert patched == [f"7_{task}" for task in tasks]


@pytest.mark.parametrize(("raw", "nodes", "job_id"), [(9, None, "7_0"), (7, "a1", "7_0"), (7, None, "7")])
def test_the_first_task_of_an_array(raw: int, nodes: str | None, job_id: str) -> None:
    """Pyslurm has no index 0: it is told from the whole of an array that was cancelled before it began."""
    record = SimpleNamespace(
        array_tasks_waiting=None,
        array_id=7,
        array_task_id=None,
        id=raw,
        allocated_nodes=nodes,
        heterogeneous_id=None,
    )
    assert _ids(record) == [job_id]


def test_a_component_of_a_heterogeneous_job() -> None:
    """It is named after the job and its place."""
    record = SimpleNamespace(
        array_tasks_waiting=None, array_id=None, heterogeneous_id=4, heterogeneous_offset=None
    )
    assert _ids(record) == ["4+0"]


def test_a_list_of_tasks_that_was_cut_is_refused() -> None:
    """Tasks are not left out silently."""
    with pytest.raises(SlurmAnswerError, match="cut a list"):
        _ids(SimpleNamespace(array_tasks_waiting="1,3,5,...", array_id=7))


def _ids(record: SimpleNamespace) -> list[str]:
    """Return the ids of the jobs that a record stands for; everything else in it is empty."""
    empty = dict.fromkeys(
        (
            "id", "name", "user_name", "account", "partition", "qos", "state_reason", "submit_time",
            "start_time", "end_time", "time_limit", "requeue_count", "allocated_tres", "requested_tres",
            "allocated_nodes", "preempt_time", "comment", "is_requeueable",
        )
    )  # fmt: skip
    whole = SimpleNamespace(**(empty | {"state": "PENDING"} | vars(record)))
    return [job.job_id for job in pyslurm_backend._jobs(whole)]
