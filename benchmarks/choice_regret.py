"""What our choice of GPU costs against the best one, on published measurements of 26 kinds of training.

Data: simulation_throughputs.json of stanford-futuredata/gavel (MIT): steps per second on K80, P100 and V100
of seven programs with up to five batch sizes. Prices: Google Cloud's spot prices of that study, 0.135, 0.43
and 0.74 dollars an hour. A job costs price over speed; regret is that cost over the cheapest GPU's. No choice
is made with the job's own figures on the GPUs that are said not to be measured, and two kinds of past are
told apart:

- ``a variant was measured``: all other jobs are known, so also the same program with other batch sizes;
- ``a new program``: every job of the same program is left out of what is known.

Nothing in ``launch/likeness.py`` was fitted to these data. The share of arithmetic in the catalogue's ratios
was (``launch/speed.py``), so every figure is also given with the share that meets the ratios of the other
programs best, and with shares that nobody fitted.

Path of the data: --data, else MLCOST_CASES/gavel-throughputs, else ../shared/cases/gavel-throughputs. Without
it nothing is measured, and the JSON says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
from datetime import date
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.launch import speed as speed_module
from mlcost_hpc.launch.choose import choose
from mlcost_hpc.launch.evidence import Evidence
from mlcost_hpc.launch.interruption import Costs
from mlcost_hpc.launch.market import read_market
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import list_offers
from mlcost_hpc.launch.speed import Measurement, speed_on
from mlcost_hpc.rates import RateCard
from mlcost_hpc.slurm.api import Node, Partition
from mlcost_hpc.slurm.fake import FakeSlurm

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
Speeds = dict[str, dict[str, float]]
PRICES = {"k80": Decimal("0.135"), "p100": Decimal("0.43"), "v100": Decimal("0.74")}
STEPS = 1_000_000


def read_speeds(path: Path) -> Speeds:
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


def program_of(job: str) -> str:
    """Return the program of ``('ResNet-18 (batch size 16)', 1)``."""
    found = re.match(r"\('([\w-]+)", job)
    if found is None:
        raise ValueError(f"{job}: no program in it")
    return found[1]


def measured(job: str, speeds: dict[str, float], gpus: tuple[str, ...]) -> list[Measurement]:
    """Return what a calibration of a job on some GPUs gives."""
    return [
        Measurement(
            gpu_model=gpu, gpus=1, per_second=speeds[gpu], source="calibration", job=job,
            program=program_of(job),
        )
        for gpu in gpus
    ]  # fmt: skip


def nothing(_job: str, _speeds: Speeds) -> Speeds:
    """No other job is known."""
    return {}


def all_others(job: str, speeds: Speeds) -> Speeds:
    """All other jobs are known, variants of the same program among them."""
    return {other: on for other, on in speeds.items() if other != job}


def other_programs(job: str, speeds: Speeds) -> Speeds:
    """Only jobs of other programs are known."""
    return {other: on for other, on in speeds.items() if program_of(other) != program_of(job)}


class Judge:
    """Asks the launcher for its choice on the site of the three GPUs."""

    def __init__(self, speeds: Speeds) -> None:
        self.speeds = speeds
        self.catalog = load_catalog()
        self.card = RateCard(valid_from=date(2020, 1, 1), gpu_hour=PRICES)
        self.offers = list_offers(read_market(site()), self.catalog, self.card)
        self.need = Need(gpus=1, work=Work(amount=STEPS))

    def regret(self, job: str, known: tuple[str, ...], others: Speeds) -> float:
        """Return our regret on a job that was measured on the known GPUs only."""
        on = self.speeds[job]
        evidence = Evidence(
            own=tuple(measured(job, on, known)),
            others=tuple(
                item
                for other, other_on in others.items()
                for item in measured(other, other_on, tuple(PRICES))
            ),
            costs=Costs(save_s=1, restart_s=0),
        )
        taken = choose(self.need, self.offers, self.catalog, self.card, evidence).best.offer.gpu_model
        return regret(on, taken)

    def regrets(self, knowns: list[tuple[str, ...]], others: Callable[[str, Speeds], Speeds]) -> list[float]:
        """Return our regret on every job for every set of known GPUs."""
        return [self.regret(job, known, others(job, self.speeds)) for known in knowns for job in self.speeds]

    def regrets_unfitted(
        self, knowns: list[tuple[str, ...]], others: Callable[[str, Speeds], Speeds]
    ) -> list[float]:
        """The same with the catalogue's share of arithmetic fitted to the programs other than the job's."""
        found = []
        for job in self.speeds:
            share = self.best_share(other_programs(job, self.speeds))
            with patch.object(speed_module, "ARITHMETIC_SHARE", share):
                found += [self.regret(job, known, others(job, self.speeds)) for known in knowns]
        return found

    def best_share(self, speeds: Speeds) -> float:
        """Return the share that meets some jobs' measured ratios best, by the mean error of the logarithm."""
        models = self.catalog.models

        def error(share: float) -> float:
            with patch.object(speed_module, "ARITHMETIC_SHARE", share):
                return statistics.mean(
                    abs(
                        math.log(
                            on[fast] / on[slow] / speed_module.catalogue_ratio(models[slow], models[fast])
                        )
                    )
                    for on in speeds.values()
                    for slow, fast in permutations(PRICES, 2)
                )

        return min((number / 20 for number in range(21)), key=error)

    def with_share(
        self, share: float, knowns: list[tuple[str, ...]], others: Callable[[str, Speeds], Speeds]
    ) -> float:
        """Return the mean regret with a share of arithmetic that nobody fitted."""
        with patch.object(speed_module, "ARITHMETIC_SHARE", share):
            return round(statistics.mean(self.regrets(knowns, others)), 4)

    def covered(self, knowns: list[tuple[str, ...]], others: Callable[[str, Speeds], Speeds]) -> float:
        """Return the share of unmeasured speeds that lie in their 80 % interval."""
        hits = []
        for job, on in self.speeds.items():
            known_others = [
                item
                for other, other_on in others(job, self.speeds).items()
                for item in measured(other, other_on, tuple(PRICES))
            ]
            for known in knowns:
                for gpu in PRICES.keys() - set(known):
                    own = measured(job, on, known)
                    guess = speed_on(gpu, 1, own=own, others=known_others, catalog=self.catalog, scaling=0.9)
                    hits.append(guess is not None and guess.low <= on[gpu] <= guess.high)
        return round(statistics.mean(hits), 3)


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
    judge = Judge(speeds)
    two = [tuple(gpu for gpu in names if gpu != left_out) for left_out in names]
    one = [(gpu,) for gpu in names]
    result: dict[str, object] = {
        "jobs": len(speeds),
        "programs": len({program_of(job) for job in speeds}),
        "oracle": {"mean": 1.0, "worst": 1.0},
        "always the fastest GPU": summary(
            [regret(on, max(on, key=on.__getitem__)) for on in speeds.values()]
        ),
        **{f"always {gpu}": summary([regret(on, gpu) for on in speeds.values()]) for gpu in names},
        "ours, calibrated on all GPUs": summary(judge.regrets([names], all_others)),
    }
    for words, knowns in (("two of three GPUs", two), ("one GPU", one)):
        for kind, others in (
            ("a variant was measured", all_others), ("a new program", other_programs),
            ("nothing else known", nothing),
        ):  # fmt: skip
            result[f"ours, calibrated on {words}, {kind}"] = {
                **summary(judge.regrets(knowns, others)),
                "mean, share of arithmetic from other programs": round(
                    statistics.mean(judge.regrets_unfitted(knowns, others)), 4
                ),
                "mean by share of arithmetic": {
                    str(share): judge.with_share(share, knowns, others) for share in (0.0, 0.2, 0.5, 1.0)
                },
                "in the 80 % interval": judge.covered(knowns, others),
            }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
