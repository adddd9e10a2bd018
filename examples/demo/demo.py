"""The whole product on a real Slurm: choose, train, be preempted, resume, compress, charge.

Run by ``make demo``. What it shows stays in ``build/demo/``; its last line is ``demo: ok``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from hand_arithmetic import SACCT, costs_by_hand, differences
from shell import DemoError, Shell, virtual_cluster, wait_for

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "examples" / "demo" / "mlcost.toml"
RATES = ROOT / "examples" / "demo" / "rates.toml"
OUT = Path("build") / "demo"
LEDGER = OUT / "ledger.db"
STEPS = 1200
TRAIN = (
    "python", "examples/train_digits.py", "--steps", str(STEPS), "--seed", "7",
    "--step-time", "0.02", "--save-every", "100",
)  # fmt: skip
PREEMPT_AT_STEP = 200
PREEMPTOR_SECONDS = 20


def main() -> None:
    """Run the demonstration.

    Raises:
        DemoError: when something it promises does not come true.
    """
    os.chdir(ROOT)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    began = time.monotonic()
    with virtual_cluster(ROOT, os.environ.get("MLCOST_DEMO_CLUSTER", "demo")) as environment:
        shell = Shell(ROOT, {**environment, "MLCOST_CONFIG": str(SETTINGS), "OMP_NUM_THREADS": "1"})
        headline("What the cluster offers")
        shell.show("mlcost", "offers")
        headline("Train the digits on the cheapest GPU that fits, preemptible, and once undisturbed")
        training = submit_training(shell, "train", "--preemptible")
        undisturbed = submit_training(shell, "undisturbed", "--no-preemptible")
        headline("Another group's job of a higher tier takes the node")
        preempt(shell, training)
        headline("Meanwhile: compress three models as one array")
        submit_compression(shell)
        headline("The training comes back from its checkpoint and finishes")
        show_training(shell, training, undisturbed)
        headline("What compression did")
        show_compression(shell)
        headline("What it all cost")
        show_chargeback(shell)
    print(f"\nIt took {time.monotonic() - began:.0f} s. Everything shown is in {OUT}/.")


def headline(text: str) -> None:
    """Say what comes next."""
    print(f"\n== {text}", flush=True)


def submit_training(shell: Shell, name: str, preemptible: str) -> dict[str, Any]:
    """Show the batch script, submit the training, return what ``mlcost submit`` says of it."""
    words = [
        "mlcost", "submit", "--job-name", name, "--account", "nlp", "--gpus", "1", "--gpu-memory", "12G",
        "--time", "15m", "--cpus", "2", "--mem", "8G", preemptible, "--run-dir", str(OUT / "runs" / name),
    ]  # fmt: skip
    script = shell.ask(*words, "--dry-run", "--", *TRAIN)
    (OUT / f"{name}.sbatch").write_text(script, encoding="utf-8")
    shell.show(*words, "--explain", "--", *TRAIN)
    return json.loads((OUT / "runs" / name / "submission.json").read_text(encoding="utf-8"))


def preempt(shell: Shell, training: dict[str, Any]) -> None:
    """Wait until the training has come some way, then fill its node from its guaranteed partition."""
    job = training["job_id"]
    records = ROOT / OUT / "runs" / "train" / "attempts"

    def on_the_way() -> str | None:
        for record in records.glob("*.json"):
            if (json.loads(record.read_text(encoding="utf-8"))["reached_step"] or 0) >= PREEMPT_AT_STEP:
                return shell.ask("squeue", "-h", "-j", job, "-o", "%N").strip()
        return None

    node = wait_for(on_the_way, f"step {PREEMPT_AT_STEP} of job {job}", seconds=90)
    partition = node.rsplit("-", 1)[0]
    shell.show(
        "setpriv", "--reuid=mlc-ben", "--regid=mlc-ben", "--init-groups", "--",
        "sbatch", "--job-name=urgent", "--account=vision", f"--partition={partition}", f"--nodelist={node}",
        "--exclusive", "--time=5", "--chdir=/tmp", "--output=/dev/null", f"--wrap=sleep {PREEMPTOR_SECONDS}",
    )  # fmt: skip
    wait_for(lambda: requeued(shell, job), f"job {job} to give way", seconds=90)


def requeued(shell: Shell, job: str) -> str | None:
    """Return the job's state once it has been put back into the queue."""
    state = shell.ask("squeue", "-h", "-j", job, "-o", "%T").strip()
    return state if state == "PENDING" else None


def submit_compression(shell: Shell) -> None:
    """Train three small models and submit their compression as one array."""
    shell.show("python", "examples/compress/train.py", "--out", str(OUT / "models"))
    shell.show("mlcost", "compress", "submit", str(OUT / "models" / "plan.toml"), "--account", "vision")


def show_training(shell: Shell, training: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    """Wait for both trainings, show the attempts, and compare the final losses."""
    for submission in (training, undisturbed):
        wait_for_end(shell, submission["job_id"])
    shell.show("mlcost", "attempts", training["job_id"], "--run-dir", training["run_dir"])
    attempts_text = shell.ask(
        "mlcost", "attempts", training["job_id"], "--run-dir", training["run_dir"], "--format", "json"
    )
    (OUT / "attempts.json").write_text(attempts_text, encoding="utf-8")
    logs = [Path(item["run_dir"]) / "job.log" for item in (training, undisturbed)]
    shutil.copy(logs[0], OUT / "train.log")
    losses = [final_loss(log) for log in logs]
    print(f"\nfinal loss preempted:   {losses[0]}\nfinal loss undisturbed: {losses[1]}")
    demand(losses[0] == losses[1], "the preempted training ended with another loss than the undisturbed one")
    attempts = json.loads(attempts_text)
    demand(len(attempts) >= 2, "the training was not preempted")
    demand(len({item["job_id"] for item in attempts}) == 1, "the runs do not carry one job id")
    for before, after in pairwise(attempts):
        demand(after["first_step"] == before["last_step"], "a run did not start where the one before stopped")
    demand(attempts[-1]["last_step"] == STEPS, "the last run did not reach the last step")


def final_loss(log: Path) -> str:
    """Return the loss that a training printed last, to the last digit."""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("final loss")]
    demand(len(lines) == 1, f"{log} has {len(lines)} final losses")
    return lines[0].split()[2]


def wait_for_end(shell: Shell, job: str) -> None:
    """Wait until a job and all its tasks have left the queue."""

    def ended() -> bool | None:
        return None if shell.ask("squeue", "-h", "-j", job, "-o", "%T").strip() else True

    wait_for(ended, f"job {job} to end", seconds=180)


def wait_for_empty_queue(shell: Shell) -> None:
    """Wait until Slurm has ended every job, so that what follows reads final accounting rows."""
    wait_for(lambda: None if shell.ask("squeue", "-h").strip() else True, "an empty queue", seconds=60)


def show_compression(shell: Shell) -> None:
    """Wait for the array and show the table."""
    plan = str(OUT / "models" / "plan.toml")
    wait_for(lambda: finished_batch(shell, plan), "the compression array", seconds=180)
    wait_for_empty_queue(shell)
    [script] = (OUT / "models").glob("*/runs/*/job.sbatch")
    shutil.copy(script, OUT / "compress.sbatch")
    shell.show("mlcost", "compress", "report", plan)
    (OUT / "compression.csv").write_text(
        shell.ask("mlcost", "compress", "report", plan, "--format", "csv"), encoding="utf-8"
    )


def finished_batch(shell: Shell, plan: str) -> bool | None:
    """Return True when every task of the batch has a row."""
    rows = json.loads(shell.ask("mlcost", "compress", "status", plan, "--format", "json"))
    tasks = {row["status"]: row["tasks"] for row in rows}
    demand(not tasks["lost"], "a compression task ended without a row")
    return True if tasks["queued"] + tasks["running"] == 0 else None


def show_chargeback(shell: Shell) -> None:
    """Read sacct into the ledger, show the chargeback, and work it out again by hand."""
    ledger = ("--ledger", str(LEDGER))
    shell.show("mlcost", "ingest", *ledger, "--since", "-1d")
    shell.show("mlcost", "report", *ledger, "--by", "account,user")
    text = shell.ask("mlcost", "report", *ledger, "--by", "account,user", "--format", "csv")
    (OUT / "chargeback.csv").write_text(text, encoding="utf-8")
    lines = shell.ask(*SACCT)
    (OUT / "sacct.txt").write_text(lines, encoding="utf-8")
    reported = {
        (row["account"], row["user"]): Decimal(row["cost"]) for row in csv.DictReader(io.StringIO(text))
    }
    by_hand = costs_by_hand(lines, RATES)
    wrong = differences(by_hand, reported)
    demand(not wrong, f"the chargeback is not what hand arithmetic gives: {wrong}")
    total, runs = sum(by_hand.values()), len(lines.splitlines())
    print(f"\nby hand from the {runs} lines of sacct -D -X: {total:.6f}, equal")


def demand(promise: object, otherwise: str) -> None:
    """Stop the demonstration when it does not keep a promise."""
    if not promise:
        raise DemoError(otherwise)


if __name__ == "__main__":
    try:
        main()
    except DemoError as error:
        sys.exit(f"demo: failed: {error}")
    print("demo: ok")
