"""What our choice of GPU costs against the best one, on published measurements of 26 kinds of training.

Data: simulation_throughputs.json of stanford-futuredata/gavel (MIT): steps per second on K80, P100 and V100.
Prices: Google Cloud's spot prices of that study, 0.135, 0.43 and 0.74 dollars an hour. A job costs price over
speed; regret is that cost over the cheapest GPU's. Every job is judged with what is known about all others,
never with its own figures on the GPUs that are said not to be measured.

Path of the data: --data, else MLCOST_CASES/gavel-throughputs, else ../shared/cases/gavel-throughputs. Without
it nothing is measured, and the JSON says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.interruption import Costs
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.speed import Measurement
from mlcost_hpc.rates import RateCard
from mlcost_hpc.slurm.api import Node, Partition
from mlcost_hpc.slurm.fake import FakeSlurm

ROOT = Path(__file__).parents[1]
PRICES = {"k80": Decimal("0.135"), "p100": Decimal("0.43"), "v100": Decimal("0.74")}
STEPS = 1_000_000


def read_speeds(path: Path) -> dict[str, dict[str, float]]:
    """Return job -> GPU -> steps per second, alone on one GPU."""
    data = json.loads(path.read_text())
    jobs = [job for job in data["v100"] if job.endswith(", 1)")]
    speeds = {job: {gpu: data[gpu][job]["null"] for gpu in PRICES} for job in jobs}
    return {job: gpus for job, gpus in speeds.items() if all(gpus.values())}


def site() -> FakeSlurm:
    """Return a cluster with one idle node of each GPU."""
    names = list(PRICES)
    nodes = [
        Node(name=name, states=frozenset({"IDLE"}), cpus=64, memory=2**38, gpus={name: 8}, partitions=(name,))
        for name in names
    ]
    return FakeSlurm(partitions=[Partition(name=name, node_names=(name,)) for name in names], nodes=nodes)


def measured(job: str, speeds: dict[str, float], gpus: tuple[str, ...]) -> list[Measurement]:
    """Return what a calibration of a job on some GPUs gives."""
    return [
        Measurement(gpu_model=gpu, gpus=1, per_second=speeds[gpu], source="calibration", job=job)
        for gpu in gpus
    ]


def regrets(speeds: dict[str, dict[str, float]], known: tuple[str, ...], *, with_others: bool) -> list[float]:
    """Return our regret on every job when its speed was measured on the known GPUs only."""
    catalog = load_catalog()
    card = RateCard(valid_from=date(2020, 1, 1), gpu_hour=PRICES)
    offers = list_offers(read_market(site()), catalog, card)
    need = Need(gpus=1, work=Work(amount=STEPS))
    found = []
    for job, on in speeds.items():
        others = [
            item
            for other, other_on in speeds.items()
            if with_others and other != job
            for item in measured(other, other_on, tuple(PRICES))
        ]
        evidence = Evidence(
            own=tuple(measured(job, on, known)), others=tuple(others), costs=Costs(save_s=1, restart_s=0)
        )
        taken = choose(need, offers, catalog, card, evidence).best.offer.gpu_model
        found.append(regret(on, taken))
    return found


def regret(on: dict[str, float], taken: str) -> float:
    """Return the cost on one GPU over that on the best."""
    costs = {gpu: float(price) / on[gpu] for gpu, price in PRICES.items()}
    return costs[taken] / min(costs.values())


def summary(values: list[float]) -> dict[str, float]:
    """Return mean and worst."""
    return {"mean": round(statistics.mean(values), 4), "worst": round(max(values), 4)}


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    cases = Path(os.environ.get("MLCOST_CASES", ROOT.parent / "shared" / "cases"))
    parser.add_argument(
        "--data", type=Path, default=cases / "gavel-throughputs" / "simulation_throughputs.json"
    )
    path = parser.parse_args().data
    out = ROOT / "build" / "bench" / "choice_regret.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        out.write_text(json.dumps({"skipped": f"no data at {path}"}) + "\n")
        sys.exit(f"no data at {path}: nothing measured")
    speeds = read_speeds(path)
    names = tuple(PRICES)
    leave_one_out = [
        value
        for left_out in names
        for value in regrets(speeds, tuple(gpu for gpu in names if gpu != left_out), with_others=True)
    ]
    fastest = [regret(on, max(on, key=lambda gpu: on[gpu])) for on in speeds.values()]
    one_only = [value for gpu in names for value in regrets(speeds, (gpu,), with_others=True)]
    catalogue = [value for gpu in names for value in regrets(speeds, (gpu,), with_others=False)]
    result = {
        "jobs": len(speeds),
        "oracle": {"mean": 1.0, "worst": 1.0},
        "always the fastest GPU": summary(fastest),
        "always V100": summary([regret(on, "v100") for on in speeds.values()]),
        "always the cheapest an hour": summary([regret(on, "k80") for on in speeds.values()]),
        "ours, calibrated on all GPUs": summary(regrets(speeds, names, with_others=True)),
        "ours, one GPU left out": summary(leave_one_out),
        "ours, calibrated on one GPU, others' ratios": summary(one_only),
        "ours, calibrated on one GPU, catalogue only": summary(catalogue),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
