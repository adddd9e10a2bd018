"""What submitting through the launcher costs against plain submitit and plain sbatch, on a real Slurm.

Needs a cluster to submit to: `eval "$(setup_cluster/cluster env NAME)"` first, or it brings up the cluster
"bench" and takes it down again. Jobs do nothing and are cancelled. All ways are measured alternately.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "setup_cluster" / "cluster"
REPEATS = 15
ARRAY = 1000


def ensure_cluster() -> bool:
    """Use the cluster of the environment, else bring one up; tells whether it was brought up."""
    if os.environ.get("SLURM_CONF"):
        return False
    subprocess.run([CLUSTER, "up", "bench"], check=True, stdout=subprocess.DEVNULL)
    lines = subprocess.run([CLUSTER, "env", "bench"], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        key, _, value = line.removeprefix("export ").partition("=")
        os.environ[key] = value.strip("'")
    return True


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def nothing(_number: int = 0) -> None:
    """Do nothing: the job."""


def measure(folder: Path) -> dict[str, object]:
    """Return the figures."""
    import submitit

    from mlcost_hpc.launch.api import Executor

    os.environ["MLCOST_STATE"] = str(folder / "state")
    settings = folder / "mlcost.toml"
    settings.write_text(f'[paths]\nrates = "{ROOT / "examples" / "demo" / "rates.toml"}"\n')
    os.environ["MLCOST_CONFIG"] = str(settings)
    script = folder / "plain.sh"
    script.write_text("#!/bin/bash\n#SBATCH --hold --output=/dev/null --time=5\ntrue\n")
    ours = Executor(folder / "ours")
    later = {"begin": "now+1hour"}  # nothing runs: only the submission is measured
    ours.update_parameters(timeout_min=5, cpus_per_task=1, slurm_additional_parameters=later)
    theirs = submitit.SlurmExecutor(folder / "theirs")
    theirs.update_parameters(time=5, cpus_per_task=1, partition="cpu", additional_parameters=later)
    theirs._throttling = 0.0  # its pause is not its work
    ours.submit(nothing)  # the first one looks at the cluster; later ones use that
    times: dict[str, list[float]] = {"sbatch": [], "submitit": [], "ours": []}
    for _ in range(REPEATS):
        times["sbatch"].append(
            seconds(lambda: subprocess.run(["sbatch", script], check=True, stdout=subprocess.DEVNULL))
        )
        times["submitit"].append(seconds(lambda: theirs.submit(nothing)))
        times["ours"].append(seconds(lambda: ours.submit(nothing)))
    array_ours = seconds(lambda: ours.map_array(nothing, range(ARRAY)))
    array_theirs = seconds(lambda: theirs.map_array(nothing, range(ARRAY)))
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        **{f"{name}_ms": round(1000 * value, 1) for name, value in median.items()},
        "ours_over_submitit": round(median["ours"] / median["submitit"], 3),
        "ours_over_sbatch": round(median["ours"] / median["sbatch"], 3),
        "array_tasks": ARRAY,
        "array_ours_s": round(array_ours, 3),
        "array_submitit_s": round(array_theirs, 3),
    }


def main() -> None:
    """Measure, print and write the figures."""
    mine = ensure_cluster()
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(Path(folder))
            subprocess.run(["scancel", "--quiet", "--state=PENDING"], check=False)
            subprocess.run(["scancel", "--quiet", "--state=RUNNING"], check=False)
    finally:
        if mine:
            subprocess.run([CLUSTER, "down", "bench", "--purge"], check=True, stdout=subprocess.DEVNULL)
    out = ROOT / "build" / "bench" / "submit_overhead.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
