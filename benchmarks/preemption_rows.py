"""What each way of being stopped costs on a real Slurm: the product, and plain submitit beside it.

Brings up a cluster of each release, puts trainings through the trials of tests/live/fault_trials.py, and
writes build/bench/preemption_rows.json and the table on stdout. Needs root, as setup_cluster/cluster does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.live.fault_trials import Plan, Result, our_plans, peer_plans, run_together  # noqa: E402
from tests.live.faults import PROGRAM, Lab  # noqa: E402

OUT = ROOT / "build" / "bench" / "preemption_rows.json"
PAGE = ROOT / "docs" / "explanation" / "preemption.md"
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")

RELEASES = ("22.05", "24.11", "26.05")


def main() -> None:
    """Run the trials on each release and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", action="append", help=f"Slurm release (default: {', '.join(RELEASES)})")
    parser.add_argument("--trial", action="append", help='only this one, e.g. "row C" (default: all)')
    parser.add_argument("--by", choices=("mlcost", "submitit"), help="only with this one (default: both)")
    parser.add_argument("--grace", type=int, default=15, help="GraceTime in seconds where there is one")
    parser.add_argument(
        "--write-page",
        action="store_true",
        help="measure nothing; put the table of the last measurement into the page of docs/",
    )
    options = parser.parse_args()
    if options.write_page:
        write_page(as_table(read_rows()))
        return
    releases = options.release or RELEASES
    wanted = (options.trial, options.by)
    measured = [row for release in releases for row in measure(release, options.grace, *wanted)]
    rows = merge(read_rows(), measured)
    table = "\n".join(as_table(rows))
    print(table)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    report = {"created": created, "grace_s": options.grace, "step_s": 0.05, "rows": rows}
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    if any("error" in row for row in rows):
        sys.exit("some trials did not come to an end; see the table")


def write_page(table: list[str]) -> None:
    """Put the table between the marks of the page."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    text = "\n".join([MARKS[0], *table, MARKS[1]])
    PAGE.write_text(f"{before}{text}{rest.partition(MARKS[1])[2]}")


def read_rows() -> list[dict[str, Any]]:
    """Return what was measured before."""
    return list(json.loads(OUT.read_text())["rows"]) if OUT.exists() else []


def merge(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows; what was measured again replaces what was there."""
    rows = {(row["slurm"], row["trial"], row["by"]): row for row in [*old, *new]}
    return list(rows.values())


def measure(
    release: str, grace: int, only: Sequence[str] | None, only_by: str | None
) -> list[dict[str, Any]]:
    """Return a row for each trial (or those named) on a new cluster of one release."""
    name = f"rows-{release.replace('.', '')}"
    settings = ("--grace", str(grace), "--kill-wait", "10", "--cred-expire", "5", "--user-signal", "off")
    cluster("up", name, "--slurm", release, *settings)
    is_host = subprocess.run([PROGRAM, "env", name], capture_output=True, check=False).returncode == 0
    try:
        if not is_host:
            cluster("install", name, "--extra", "train")
        lab = Lab(name, Path(tempfile.mkdtemp(prefix=f"{name}-")))
        plans = [("mlcost", plan) for plan in our_plans(grace)]
        plans += [("submitit", plan) for plan in peer_plans(grace)]
        plans = [(by, plan) for by, plan in plans if only is None or plan.name in only]
        plans = [(by, plan) for by, plan in plans if only_by in (None, by)]
        plans.sort(key=lambda pair: pair[1].settings)
        rows = []
        for wanted, pairs in groupby(plans, key=lambda pair: pair[1].settings):
            group = list(pairs)
            cluster("set", name, *wanted)
            began = time.monotonic()
            results = run_together(lab, [plan for _, plan in group])
            print(f"{release} {' '.join(wanted)}: {len(group)} trials, {time.monotonic() - began:.0f} s")
            pairs_done = zip(group, results, strict=True)
            rows += [as_row(release, by, plan, result) for (by, plan), result in pairs_done]
        return rows
    finally:
        cluster("down", name)


def cluster(*words: str) -> None:
    """Run the cluster's program; its words appear only when it fails."""
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


def as_row(release: str, by: str, plan: Plan, result: Result | Exception) -> dict[str, Any]:
    """Return the outcome of a trial as plain values."""
    row = {"slurm": release, "trial": plan.name, "row": plan.row, "settings": plan.settings, "by": by}
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    return row | result.to_json()


def as_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return Markdown: a line a trial and release, ours and submitit's beside each other."""
    lines = [
        "| Slurm | stopped by | settings | mlcost lost: steps (s) | runs | submitit lost: steps (s) | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = [row for row in rows if row["by"] == "mlcost"]
    peers = {(row["slurm"], row["trial"]): row for row in rows if row["by"] == "submitit"}
    for row in sorted(ours, key=lambda row: (row["slurm"], not row["row"], row["trial"])):
        peer = peers.get((row["slurm"], row["trial"]))
        settings = ", ".join(row["settings"])
        cells = [row["slurm"], row["trial"], settings, *_cells(row), *(_cells(peer) if peer else ("-", "-"))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    if "error" in row:
        return "?", f"no end: {row['error'][:60]}"
    return f"{row['lost_steps']} ({row['lost_seconds']:.1f})", " → ".join(row["runs"])


if __name__ == "__main__":
    main()
