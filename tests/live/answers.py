"""Prints all answers of one backend as JSON; run inside a cluster's root with the product's Python.

    python answers.py cli|pyslurm START END JOB_ID...

The contract suite compares what two backends print about the same moment.
"""

from __future__ import annotations

import sys

import msgspec

from mlcost_hpc.slurm.api import Job, Node, Partition, RunAnswer, Version
from mlcost_hpc.slurm.cluster_settings import ClusterSettings, read_cluster_settings
from mlcost_hpc.slurm.connect import connect


class Answers(msgspec.Struct, kw_only=True):
    """Everything that a backend says, and what it says about some jobs."""

    why: str
    version: Version
    settings: ClusterSettings
    partitions: tuple[Partition, ...]
    nodes: tuple[Node, ...]
    jobs: tuple[Job, ...]
    runs: RunAnswer
    jobs_by_id: dict[str, tuple[Job, ...]]
    runs_by_id: dict[str, RunAnswer]


def ask(backend: str, start: int, end: int, job_ids: list[str]) -> Answers:
    """Ask every question of the protocol."""
    connection = connect(backend)
    slurm = connection.slurm
    return Answers(
        why=connection.why,
        version=slurm.version(),
        settings=read_cluster_settings(slurm.config()),
        partitions=slurm.partitions(),
        nodes=slurm.nodes(),
        jobs=slurm.jobs(),
        runs=slurm.runs(start, end),
        jobs_by_id={job_id: slurm.jobs([job_id]) for job_id in job_ids},
        runs_by_id={job_id: slurm.runs_of([job_id], start) for job_id in job_ids},
    )


if __name__ == "__main__":
    backend, start, end, *job_ids = sys.argv[1:]
    sys.stdout.buffer.write(msgspec.json.encode(ask(backend, int(start), int(end), job_ids)))
