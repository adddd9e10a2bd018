"""How long a big site's answers take to be read: 10,000 nodes, 100,000 queued jobs, 100,000 accounting rows.

The baseline of each is the least that any reader must do: split the same text into lines and fields. The
ratio says how much dearer our records are than that. Writes build/bench/slurm_parse.json.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlcost_hpc.slurm.commands import SACCT_FIELDS, SQUEUE_FIELDS
from mlcost_hpc.slurm.parse_jobs import parse_jobs
from mlcost_hpc.slurm.parse_nodes import parse_nodes
from mlcost_hpc.slurm.parse_runs import parse_runs

if TYPE_CHECKING:
    from collections.abc import Callable

NODES, JOBS, RUNS = 10_000, 100_000, 100_000
SEPARATOR = "\x1fab12cd"
REPEATS = 3
RESULT = Path(__file__).parents[1] / "build" / "bench" / "slurm_parse.json"


def node_text() -> str:
    """Return an answer of ``scontrol show node -o -d`` with many nodes of several kinds."""
    lines = []
    for number in range(NODES):
        kind = ("a100", "h100", "t4")[number % 3]
        used = number % 9
        lines.append(
            f"NodeName={kind}-{number} Arch=x86_64 CoresPerSocket=64  CPUAlloc={used * 8} CPUEfctv=128 "
            f"CPUTot=128 CPULoad={used}.14 AvailableFeatures={kind},ib,nvme ActiveFeatures={kind},ib,nvme "
            f"Gres=gpu:{kind}:8(S:0-1) GresDrain=N/A GresUsed=gpu:{kind}:{used}(IDX:0-{used}) "
            f"NodeAddr=10.0.0.1 NodeHostName={kind}-{number} Port=6818 Version=24.11.5 "
            "OS=Linux 6.1.0-31-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.128-1 (2025-02-07)  "
            f"RealMemory=1031000 AllocMem={used * 64000} FreeMem=900{number} Sockets=2 Boards=1 State=MIXED "
            "ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=gpu,spot,long,all  "
            "BootTime=2026-07-24T16:41:28 SlurmdStartTime=2026-07-31T03:59:08 "
            "LastBusyTime=2026-07-31T03:59:08 ResumeAfterTime=None "
            f"CfgTRES=cpu=128,mem=1031000M,billing=128,gres/gpu=8,gres/gpu:{kind}=8 "
            f"AllocTRES=cpu={used * 8},mem={used * 64000}M,gres/gpu={used},gres/gpu:{kind}={used} "
            "CurrentWatts=0 AveWatts=0"
        )
    return "\n".join(lines) + "\n"


def job_text() -> str:
    """Return an answer of squeue: arrays, running and pending jobs of many users."""
    rows = []
    for number in range(JOBS):
        gpus = 2 ** (number % 4)
        values = (
            f"{number // 10}_{number % 10}", str(number), f"user{number % 500}", f"group{number % 40}",
            "gpu,spot" if number % 3 else "spot", "normal", "RUNNING" if number % 4 else "PENDING",
            f"17955{number:06}"[:10], f"17956{number:06}"[:10], f"17957{number:06}"[:10], "1-00:00:00", "0",
            f"cpu={gpus * 8},mem={gpus * 64}G,node=1,billing={gpus * 8},gres/gpu={gpus}",
            f"a100-{number % 5000}", "N/A", "1", "None", f"train run {number}", "(null)", "alpha",
        )  # fmt: skip
        assert len(values) == len(SQUEUE_FIELDS)
        rows.append(SEPARATOR.join(values))
    return "\n".join(rows) + "\n"


def run_text() -> str:
    """Return an answer of sacct with as many runs of jobs."""
    rows = []
    for number in range(RUNS):
        gpus = 2 ** (number % 4)
        tres = (
            f"billing={gpus * 8},cpu={gpus * 8},gres/gpu={gpus},gres/gpu:a100={gpus},mem={gpus * 64}G,node=1"
        )
        values = (
            str(number), f"{number // 10}_{number % 10}", str(12670464425943961600 + number),
            f"user{number % 500}", str(1000 + number % 500), f"group{number % 40}", "a100", "normal",
            "COMPLETED" if number % 5 else "CANCELLED by 1001", f"17955{number:06}"[:10],
            f"17955{number:06}"[:10], f"17956{number:06}"[:10], f"17957{number:06}"[:10], "3600", "00:00:00",
            "1440", tres, tres, "1", f"a100-{number % 5000}", "0:0", "", "", "", f"train run {number}", "",
            "alpha",
        )  # fmt: skip
        assert len(values) == len(SACCT_FIELDS)
        rows.append(SEPARATOR.join(values))
    return "\n".join(rows) + "\n"


def best_of(work: Callable[[], object]) -> float:
    """Return the shortest of some measurements, in seconds."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def split_only(text: str, separator: str) -> int:
    """Do the least that any reader does; return the number of fields."""
    return sum(len(line.split(separator)) for line in text.split("\n"))


def main() -> None:
    """Measure, print and write the figures."""
    nodes, jobs, runs = node_text(), job_text(), run_text()
    cases: dict[str, tuple[int, str, str, Callable[[], object]]] = {
        "nodes": (NODES, nodes, " ", lambda: parse_nodes(nodes)),
        "jobs": (JOBS, jobs, SEPARATOR, lambda: parse_jobs(jobs, SEPARATOR)),
        "runs": (RUNS, runs, SEPARATOR, lambda: parse_runs(runs, SEPARATOR, SACCT_FIELDS)),
    }
    result = {}
    for name, (count, text, separator, parse) in cases.items():
        ours = best_of(parse)
        baseline = best_of(lambda text=text, separator=separator: split_only(text, separator))
        result[name] = {
            "records": count,
            "megabytes": round(len(text) / 1e6, 1),
            "seconds": round(ours, 3),
            "split_only_seconds": round(baseline, 3),
            "ratio": round(ours / baseline, 1),
        }
        print(
            f"{name}: {count:,} records ({len(text) / 1e6:.0f} MB) in {ours:.2f} s; "
            f"splitting alone {baseline:.2f} s; ratio {ours / baseline:.1f}"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
