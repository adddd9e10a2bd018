"""How long a choice takes on a big site: 200 partitions, 10,000 nodes; and `mlcost --help`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.history import Sample
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.past import by_partition
from mlcost_hpc.rates import RateCard
from mlcost_hpc.slurm.api import Node, Partition
from mlcost_hpc.slurm.fake import FakeSlurm

ROOT = Path(__file__).parents[1]
TYPES = ("t4", "v100", "a100", "h100", "l40s")
PARTITIONS, NODES = 200, 10_000
REPEATS = 20


def big_site() -> FakeSlurm:
    """Return a site where every node is in two partitions."""
    nodes = [
        Node(
            name=f"n{number}", states=frozenset({"IDLE"}), cpus=128, memory=2**40,
            gpus={TYPES[number % 5]: 8}, gpus_allocated={TYPES[number % 5]: number % 9},
            partitions=(f"p{number % (PARTITIONS - 1)}", f"p{PARTITIONS - 1}"),
        )
        for number in range(NODES)
    ]  # fmt: skip
    members: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.partitions:
            members.setdefault(name, []).append(node.name)
    last = f"p{PARTITIONS - 1}"
    partitions = [
        Partition(
            name=name, node_names=tuple(names), max_time_s=86400, priority_tier=1 if name == last else 10,
            preempt_mode="REQUEUE",
        )
        for name, names in members.items()
    ]  # fmt: skip
    return FakeSlurm(partitions=partitions, nodes=nodes, config={"PreemptType": "preempt/partition_prio"})


def main() -> None:
    """Measure, print and write the figures."""
    catalog = load_catalog()
    card = RateCard(
        valid_from=date(2026, 1, 1), cpu_hour=Decimal("0.01"),
        gpu_hour={key: Decimal(1) for key in catalog.models},
    )  # fmt: skip
    market = read_market(big_site())
    past = by_partition(
        Sample(
            partition=f"p{number % PARTITIONS}",
            gpu_type=TYPES[number // PARTITIONS % 5],
            gpus=1 + number % 8,
            wait_s=number % 7200,
            elapsed_s=3600,
            preempted=False,
            failed_node=False,
            qos="normal",
        )
        for number in range(50_000)
    )
    need = Need(gpus=2, work=Work(amount=10, unit="hours", gpu_model="v100"), deadline_s=86400)
    took, ranking, cpu, count = [], [], [], 0
    for _ in range(REPEATS):
        began, began_cpu = time.perf_counter(), time.process_time()
        offers = list_offers(market, catalog, card)
        listed = time.perf_counter()
        count = len(choose(need, offers, catalog, card, Evidence(past=past)).ranked)
        ended = time.perf_counter()
        took.append(ended - began)
        cpu.append(time.process_time() - began_cpu)
        ranking.append(ended - listed)
    helps = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "mlcost_hpc.cli.main", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        helps.append(time.perf_counter() - began)
    result = {
        "partitions": PARTITIONS,
        "nodes": NODES,
        "candidates": count,
        "list_and_rank_ms": round(1000 * statistics.median(took), 1),
        "list_and_rank_cpu_ms": round(1000 * statistics.median(cpu), 1),
        "list_and_rank_cpu_best_ms": round(1000 * min(cpu), 1),
        "rank_ms": round(1000 * statistics.median(ranking), 1),
        "help_ms": round(1000 * min(helps), 1),
    }
    out = ROOT / "build" / "bench" / "choice_speed.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
