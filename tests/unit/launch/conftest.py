"""A small cluster like a real ML site's, and its prices."""

import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.catalog import Catalog, load_catalog
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.rates import PartitionRate, RateCard
from mlcost_hpc.slurm.api import Node, Partition
from mlcost_hpc.slurm.fake import FakeSlurm

GIB = 1024**3
HOUR = 3600


def node(name: str, partitions: str, gpus: dict[str, int] | None = None, **changes: object) -> Node:
    """A node with 64 CPUs and 512 GiB."""
    plain = Node(
        name=name,
        states=frozenset({"IDLE"}),
        cpus=64,
        memory=512 * GIB,
        gpus=gpus or {},
        partitions=tuple(partitions.split()),
    )
    return msgspec.structs.replace(plain, **changes)


def partition(name: str, *names: str, **changes: object) -> Partition:
    """A partition of tier 10 with a limit of one day."""
    plain = Partition(name=name, node_names=names, max_time_s=24 * HOUR, priority_tier=10)
    return msgspec.structs.replace(plain, **changes)


NODES = (
    node("cpu-1", "cpu"),
    node("a100-1", "a100 spot", {"a100": 8}, gpus_allocated={"a100": 2}),
    node("h100-1", "h100 spot", {"h100": 8}),
    node("h100-2", "h100 spot", {"h100": 8}, states=frozenset({"IDLE", "DRAIN"})),
)
PARTITIONS = (
    partition("cpu", "cpu-1", is_default=True),
    partition("a100", "a100-1"),
    partition("h100", "h100-1", "h100-2"),
    partition("spot", "a100-1", "h100-1", "h100-2", priority_tier=1, preempt_mode="REQUEUE", grace_time_s=20),
)
CARD = RateCard(
    valid_from=date(2026, 1, 1),
    gpu_hour={"a100-40gb": Decimal("1.80"), "h100": Decimal("3.60")},
    cpu_hour=Decimal("0.01"),
    partition={"spot": PartitionRate(multiplier=Decimal("0.4"))},
)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The packaged catalogue."""
    return load_catalog()


@pytest.fixture
def slurm() -> FakeSlurm:
    """The cluster."""
    return FakeSlurm(partitions=PARTITIONS, nodes=NODES, config={"PreemptType": "preempt/partition_prio"})


@pytest.fixture
def launcher(slurm: FakeSlurm, catalog: Catalog, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A launcher on that cluster, its records below tmp_path."""
    monkeypatch.setenv("MLCOST_STATE", str(tmp_path / "state"))
    return Launcher(slurm, catalog, CARD, currency="USD", runs=tmp_path / "runs")


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake sbatch on PATH: keeps each script, gives ids from 100 on; its folder.

    Like the real one it makes no folder for the log: where there is none, the job would fail and say nothing.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "sbatch"
    path.write_text(
        f"#!/bin/bash\ncd {folder}; n=$(ls | wc -l)\n"
        'cp "${@: -1}" script-$n; env > env-$n\n'
        "log=$(sed -n 's/^#SBATCH --output=//p' script-$n)\n"
        '[ -d "${log%/*}" ] || { echo "no folder for $log" >&2; exit 1; }\n'
        "echo $((100 + n / 2))\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_CPU_BIND", "0x1")
    return folder
