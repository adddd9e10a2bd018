#!/usr/bin/env python3
"""Save what the real Slurm of a virtual cluster answers, for the fast tests to read.

    setup_cluster/cluster up recorder --slurm 24.11
    .venv/bin/python setup_cluster/record.py recorder

makes the cluster busy (about a minute and a half), asks every question of the product and more, and writes
the answers into tests/records/<version>/, the commands that made them into commands.json there, and the
jobs that were running into scenario.json. Names of this machine and its kernel are replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

from busy import BusyError, Cluster, begin_timeout, make_busy, make_quiet, wait_for_timeout

from mlcost_hpc.slurm import commands
from mlcost_hpc.slurm.parse_config import parse_helpformat, parse_version

RECORDS = Path(__file__).resolve().parents[1] / "tests" / "records"

SEPARATOR = "\x1frec"
"""Between fields of recorded rows; the player of recorded answers puts the asked one in its place."""

ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
"""What the product sets for its questions."""

PLAIN_ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C"}
"""For the other ones: 22.05 cannot answer in JSON when a time format is set."""


def questions(start: int, end: int, fields: tuple[str, ...]) -> dict[str, list[str]]:
    """Return file name -> command: the product's own first, then those that only tests and people read."""
    return {
        "sinfo-version.txt": commands.sinfo_version(),
        "scontrol-show-config.txt": commands.show_config(),
        "scontrol-show-partition.txt": commands.show_partitions(),
        "scontrol-show-node.txt": commands.show_nodes(),
        "squeue.txt": commands.squeue(SEPARATOR),
        "sacct-helpformat.txt": commands.sacct_helpformat(),
        "sacct.txt": commands.sacct_window(start, end, fields=fields, separator=SEPARATOR),
        "people/scontrol-show-node.txt": ["scontrol", "show", "node", "--details"],
        "people/scontrol-show-partition.txt": ["scontrol", "show", "partition"],
        "people/scontrol-show-job.txt": ["scontrol", "show", "job", "--details"],
        "people/sinfo.txt": ["sinfo", "--Node", "--long"],
        "people/squeue.txt": ["squeue"],
        "people/sacct-steps.txt": [
            "sacct",
            "--allusers",
            "--duplicates",
            "--parsable2",
            f"--starttime=uts{start}",
            "--format=JobID,State,Start,End,Elapsed,TotalCPU,MaxRSS,AllocTRES,TRESUsageInTot",
        ],
        "people/sacctmgr-show-qos.txt": ["sacctmgr", "--parsable2", "show", "qos"],
        "people/sacctmgr-show-assoc.txt": ["sacctmgr", "--parsable2", "show", "assoc"],
        "people/sacctmgr-show-user.txt": ["sacctmgr", "--parsable2", "show", "user"],
        "people/sreport-account-utilization.txt": [
            "sreport",
            "--parsable2",
            "--tres=cpu,gres/gpu",
            "cluster",
            "AccountUtilizationByUser",
            "start=now-1days",
            "end=now",
        ],
        "json/squeue.json": ["squeue", "--json"],
        "json/sinfo.json": ["sinfo", "--json"],
        "json/sacct.json": [
            "sacct",
            "--json",
            "--allusers",
            f"--starttime=uts{start}",
            f"--endtime=uts{end}",
        ],
    }


def neutral(text: str) -> str:
    """Return a text without the names of this machine and its kernel."""
    system = os.uname()
    kernel = f"{system.sysname} {system.release} {system.version}"
    text = text.replace(kernel, "Linux 6.1.0-31-amd64 #1 SMP PREEMPT_DYNAMIC")
    for name, stand_in in ((system.release, "6.1.0-31-amd64"), (system.nodename, "login1")):
        text = re.sub(rf"\b{re.escape(name)}\b", stand_in, text)
    return text


def main() -> None:
    """Record one cluster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="a cluster that is up")
    parser.add_argument("--out", type=Path, default=RECORDS, help="default: tests/records")
    options = parser.parse_args()
    cluster = Cluster(options.name)
    start = int(time.time()) - 1
    print("making the cluster busy")
    try:
        begin_timeout(cluster)
        jobs = make_busy(cluster)
        wait_for_timeout(cluster)
    except BusyError as error:
        sys.exit(f"record: {error}")
    folder = save(cluster, start, jobs, options.out)
    make_quiet(cluster)
    print(f"the answers are in {folder}")


def save(cluster: Cluster, start: int, jobs: dict[str, str], out: Path) -> Path:
    """Ask every question and write the answers; return the folder of this version."""
    fields = commands.sacct_fields(parse_helpformat(cluster.run(*commands.sacct_helpformat(), **ENVIRONMENT)))
    version = parse_version(cluster.run(*commands.sinfo_version()))
    folder = out / version.release
    end = int(time.time()) + 1
    asked = {}
    for file_name, argv in questions(start, end, fields).items():
        path = folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = PLAIN_ENVIRONMENT if "/" in file_name else ENVIRONMENT
        path.write_text(neutral(cluster.run(*argv, **environment)))
        asked[file_name] = argv
    (folder / "commands.json").write_text(json.dumps(asked, indent=1) + "\n")
    scenario = {"version": str(version), "start": start, "end": end, "jobs": jobs}
    (folder / "scenario.json").write_text(json.dumps(scenario, indent=1) + "\n")
    return folder


if __name__ == "__main__":
    main()
