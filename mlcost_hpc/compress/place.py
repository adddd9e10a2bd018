"""Where this process runs, as a row records it."""

from __future__ import annotations

import os

from mlcost_hpc.compress import node
from mlcost_hpc.compress.records import Place


def this_place(threads: int, cores: tuple[int, ...], load_before: float) -> Place:
    """Return this node, and how busy it was.

    Args:
        threads: threads of one inference.
        cores: the cores this process is pinned to; empty = not pinned.
        load_before: load average before measuring.
    """
    name, flags = node.read_processor()
    return Place(
        host=node.host_name(),
        processor=name,
        node_class=node.node_class(flags),
        flags=tuple(flag for flag in node.FLAGS if flag in flags),
        threads=threads,
        cores=cores,
        load_before=load_before,
        load_after=node.load_average(),
        partition=os.environ.get("SLURM_JOB_PARTITION", ""),
        job=node.job_name(os.environ),
    )
