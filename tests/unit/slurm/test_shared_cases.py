"""The parsers over real outputs of other sites, where they lie beside the checkout (not part of it)."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcost_hpc.slurm.gres import parse_gpus
from mlcost_hpc.slurm.hostlist import expand_hostlist
from mlcost_hpc.slurm.parse_nodes import parse_nodes, parse_states
from mlcost_hpc.slurm.parse_runs import parse_runs
from mlcost_hpc.units import parse_elapsed, parse_tres

if TYPE_CHECKING:
    from mlcost_hpc.slurm.api import Run, RunAnswer

CASES = Path(__file__).parents[4] / "shared" / "cases"

if not CASES.is_dir():
    pytest.skip("shared/cases is not beside this checkout", allow_module_level=True)

XDMOD = (
    "JobID", "JobIDRaw", "Cluster", "Partition", "QOS", "Account", "Group", "GID", "User", "UID", "Submit",
    "Eligible", "Start", "End", "Elapsed", "ExitCode", "State", "NNodes", "NCPUS", "ReqCPUS", "ReqMem",
    "ReqTRES", "AllocTRES", "Timelimit", "NodeList", "JobName",
)  # fmt: skip
SONAR = (
    "JobID", "JobIDRaw", "User", "Account", "State", "Start", "End", "AveCPU", "AveDiskRead", "AveDiskWrite",
    "AveRSS", "AveVMSize", "ElapsedRaw", "ExitCode", "Layout", "MaxRSS", "MaxVMSize", "MinCPU", "ReqCPUS",
    "ReqMem", "ReqNodes", "Reservation", "Submit", "Suspended", "SystemCPU", "TimelimitRaw", "UserCPU",
    "NodeList", "Partition", "AllocTRES", "Priority", "JobName",
)  # fmt: skip


def read(path: Path, fields: tuple[str, ...], cluster: str = "") -> RunAnswer:
    """Read a file of rows that was made with other fields than ours, by adding those we need."""
    lines = []
    for line in path.read_text().splitlines():
        values = line.split("|")
        named = dict(zip(fields, values, strict=True))
        elapsed = named.get("ElapsedRaw") or str(parse_elapsed(named["Elapsed"]))
        lines.append("|".join([*values, elapsed, named.get("Cluster", cluster)]))
    return parse_runs("\n".join(lines) + "\n", "|", (*fields, "ElapsedRaw", "Cluster"))


def hours(runs: tuple[Run, ...], column: str) -> float:
    def size(run: Run) -> int:
        sizes = {"cpu_hours": run.allocated.cpus, "gpu_hours": run.allocated.gpus}
        return (sizes | {"wall_hours": 1, "node_hours": run.node_count})[column]

    return sum(size(run) * run.elapsed_s for run in runs) / 3600


def test_a_year_of_a_real_cluster_is_read_whole() -> None:
    """All 4,285 rows are runs, and their hours are those another accounting system counts."""
    answer = read(CASES / "xdmod-phillips" / "phillips.log", XDMOD)
    assert answer.rejects == ()
    assert len(answer.runs) == 4285
    assert all(run.started is not None and run.ended is not None for run in answer.runs)
    with (CASES / "xdmod-phillips" / "expected-per-day.csv").open() as file:
        days = list(csv.DictReader(file))
    for column in ("cpu_hours", "gpu_hours", "wall_hours", "node_hours"):
        expected = sum(float(day[column]) for day in days)
        assert hours(answer.runs, column) == pytest.approx(expected, abs=0.01), column


@pytest.mark.parametrize(
    "path", sorted((CASES / "xdmod-phillips" / "unit").rglob("*.log")), ids=lambda p: p.stem
)
def test_odd_rows_of_real_clusters(path: Path) -> None:
    """Unknown states, pending arrays, names in other scripts: every row is a run."""
    rows = len(path.read_text().splitlines())
    # Two of these fields stand in another order in these older logs; only the shape matters here.
    fields = tuple(field for field in XDMOD if field != "ReqCPUS")
    width = len(path.read_text().splitlines()[0].split("|"))
    answer = read(path, XDMOD if width == len(XDMOD) else fields)
    assert (len(answer.runs), answer.rejects) == (rows, ())


def test_gpus_in_tres_lists() -> None:
    """Counts agree with those another accounting system expects."""
    path = CASES / "xdmod-phillips" / "unit" / "slurm-resource-parser" / "alloc-tres-gpu-count.json"
    for text, gpus in json.loads(path.read_text()):
        assert parse_tres(text).gpus == gpus, text


def test_rows_with_steps() -> None:
    """Only allocations are runs: of 96 rows, those without a step's name."""
    path = CASES / "sonar" / "sacct-output.txt"
    answer = read(path, SONAR, "fox")
    jobs = {line.split("|")[0].partition(".")[0] for line in path.read_text().splitlines()}
    assert {run.job_id for run in answer.runs} == jobs
    assert answer.rejects == ()
    assert {"CANCELLED", "FAILED", "TIMEOUT"} <= {run.state for run in answer.runs}


def test_nodes_of_a_real_cluster() -> None:
    """Each node once; two GPU types on one node; no GPUs where Gres is (null)."""
    nodes = parse_nodes((CASES / "slurm-exporter" / "slurm-24.11.7" / "scontrol_nodes.txt").read_text())
    assert len(nodes) == len({node.name for node in nodes}) == 20
    by_name = {node.name: node for node in nodes}
    assert by_name["nb9"].gpus == {"model_a": 2, "model_b": 2}
    assert by_name["na1"].gpus == {}
    assert by_name["na1"].partitions == ("cpu", "debug", "high")
    assert by_name["na1"].states == {"MIXED", "DYNAMIC_NORM"}
    assert sum(sum(node.gpus.values()) for node in nodes) == 40


def test_gres_and_states_of_a_big_gpu_cluster() -> None:
    """A node in four partitions is printed four times there, each time with the same GPUs."""
    path = CASES / "slurm-exporter" / "slurm-25.05" / "node_detail_gres.txt"
    seen: dict[str, set[tuple[int, int]]] = {}
    for line in path.read_text().splitlines():
        words = line.split()
        has, used = sum(parse_gpus(words[6]).values()), sum(parse_gpus(words[7]).values())
        seen.setdefault(words[0], set()).add((has, used))
        assert parse_states(words[4])
    assert seen["a001"] == {(4, 4)}
    assert seen["a005"] == {(4, 2)}
    assert seen["c001"] == {(0, 0)}


def test_node_lists_of_real_jobs() -> None:
    """The short form of each job that held nodes stands for as many as it held."""
    runs = read(CASES / "xdmod-phillips" / "phillips.log", XDMOD).runs
    held = [run for run in runs if run.node_list]
    assert len(held) > 4000
    assert all(len(expand_hostlist(run.node_list)) == run.node_count for run in held)


def test_het_jobs() -> None:
    """Each component of a heterogeneous job is a run of its own; its steps are none."""
    fields = ("JobID", "JobName", "Partition", "Account", "AllocCPUS", "State", "ExitCode")
    missing = dict.fromkeys(("JobIDRaw", "Submit", "Start", "End"), "Unknown") | {"ElapsedRaw": "0"}
    for name, components in (("sacct-het-job.psv", "1853"), ("sacct-het-job.trailing-delimiter.psv", "176")):
        rows = (CASES / "het" / name).read_text().splitlines()[1:]
        whole = ["|".join([*row.removesuffix("|").split("|"), *missing.values(), "alpha"]) for row in rows]
        answer = parse_runs("\n".join(whole) + "\n", "|", (*fields, *missing, "Cluster"))
        assert [run.job_id for run in answer.runs] == [f"{components}+{number}" for number in range(3)]
        assert answer.rejects == ()
