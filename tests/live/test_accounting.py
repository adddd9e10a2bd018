"""The ledger on a real Slurm: every run once, equal to hand arithmetic and to Slurm's own sums."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from live_cluster import wait_for

from mlcost_hpc.cli.main import cli
from mlcost_hpc.units import parse_tres

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

RATES = """
currency = "USD"
[[card]]
valid_from = 2020-01-01
cpu_hour = 0.01
memory_gib_hour = 0.002
gpu_hour = { t4 = 0.35, a100-40gb = 1.6, h100 = 3.9, v100 = 0.9 }
[card.partition.spot]
multiplier = 0.4
"""
PRICES = {"t4": "0.35", "a100": "1.6", "h100": "3.9", "v100": "0.9"}


def mlcost(*words: str | Path) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def wait_accounted(cluster: Any, *jobs: str) -> None:
    """Wait until slurmdbd has every run of the jobs, the end and when it was eligible.

    The end comes first; a run without the other is in no window of time for some seconds.
    """

    def ended() -> str:
        told = cluster.run("sacct", "-X", "-n", "-P", "-o", "State,Eligible", f"--jobs={','.join(jobs)}")
        unfinished = any(word in told for word in ("PENDING", "RUNNING", "Unknown"))
        return "yes" if told.strip() and not unfinished else ""

    wait_for(ended, 90, f"the end of {jobs} in the accounting")


def hand_arithmetic(text: str) -> dict[tuple[str, str], Decimal]:
    """Return account, user -> cost of rows of ``sacct -D -X``, each run rounded once to millionths."""
    sums: dict[tuple[str, str], Decimal] = {}
    for line in filter(None, text.splitlines()):
        user, account, partition, elapsed, held = line.split("|")
        tres = parse_tres(held)
        hour = Fraction("0.01") * tres.cpus + Fraction("0.002") * Fraction(tres.memory, 1024**3)
        hour += sum(Fraction(PRICES[name]) * count for name, count in tres.gpu_types.items())
        hour *= Fraction("0.4") if partition == "spot" else 1
        micros = round(hour * int(elapsed) * 10**6 / 3600)
        sums[account, user] = sums.get((account, user), Decimal(0)) + Decimal(micros).scaleb(-6)
    return sums


def test_the_chargeback_is_what_a_calculator_says(cluster: Any, tmp_path: Path) -> None:
    """Array, requeued job, CPU job and a job on spot: report, hand arithmetic and a second ingest agree."""
    (tmp_path / "rates.toml").write_text(RATES)
    began = int(time.time())
    options = ("--rates", tmp_path / "rates.toml", "--ledger", tmp_path / "ledger.db")
    requeued = cluster.run(
        "sbatch", "--parsable", "--requeue", "-p", "h100", "--gres=gpu:h100:1", "-t", "5", "--wrap", "sleep 9"
    ).strip()
    cluster.wait_state(requeued, "RUNNING")
    cluster.run("scontrol", "requeue", requeued)
    others = [
        cluster.run("sbatch", "--parsable", *words, "-t", "5", "--wrap", "sleep 1").strip()
        for words in (
            ("-p", "t4", "--gres=gpu:t4:1", "--array=0-2"),
            ("-p", "cpu"),
            ("-p", "spot", "--gres=gpu:a100:2"),
        )
    ]
    mlcost("ingest", "--since", "-1h", *options)
    wait_accounted(cluster, requeued, *others)
    mlcost("ingest", *options)
    again = mlcost("ingest", *options)
    assert again.startswith("0 new runs, 0 changed")
    assert "0 not as their raw rows say, 0 only" in mlcost(
        "ledger", "rebuild", "--ledger", tmp_path / "ledger.db"
    )
    rows = json.loads(mlcost("report", "--format", "json", "--ledger", tmp_path / "ledger.db"))
    told = cluster.run(
        "sacct", "-a", "-X", "-D", "-P", "-n", "--noconvert", "-S", f"uts{began - 5 * 86400}",
        "-o", "User,Account,Partition,ElapsedRaw,AllocTRES",
    )  # fmt: skip
    assert {(row["account"], row["user"]): Decimal(row["cost"]) for row in rows} == hand_arithmetic(told)
    explained = json.loads(
        mlcost("why-charge", requeued, "--format", "json", "--ledger", tmp_path / "ledger.db")
    )
    assert [run["state"] for run in explained] == ["REQUEUED", "COMPLETED"]


def test_two_rhythms_on_a_real_cluster_give_one_ledger(cluster: Any, tmp_path: Path) -> None:
    """One ledger reads often while jobs run, one only at the end: the same digest."""
    (tmp_path / "rates.toml").write_text(RATES)

    def ingest(name: str) -> None:
        mlcost("ingest", "--since", "-1h", "--rates", tmp_path / "rates.toml", "--ledger", tmp_path / name)

    job = cluster.run(
        "sbatch", "--parsable", "-p", "t4", "--gres=gpu:t4:1", "--array=0-1", "-t", "5", "--wrap", "sleep 3"
    ).strip()
    ingest("often.db")
    cluster.wait_state(f"{job}_0", "RUNNING", "COMPLETED")
    ingest("often.db")
    wait_accounted(cluster, job)
    for name in ("often.db", "once.db"):
        ingest(name)
    digests = {mlcost("ledger", "digest", "--ledger", tmp_path / name) for name in ("often.db", "once.db")}
    assert len(digests) == 1


def test_a_hostile_job_name_is_one_row(cluster: Any, tmp_path: Path) -> None:
    """Separators, new lines and a formula in a name neither break nor forge rows."""
    (tmp_path / "rates.toml").write_text(RATES)
    name = "=a|b\x1f\n999\x1f999"
    job = cluster.run("sbatch", "--parsable", "-J", name, "-p", "cpu", "-t", "1", "--wrap", "true").strip()
    wait_accounted(cluster, job)
    said = mlcost(
        "ingest", "--since", "-1h", "--rates", tmp_path / "rates.toml", "--ledger", tmp_path / "ledger.db"
    )
    assert ", 0 rejected" in said
    (run,) = json.loads(mlcost("why-charge", job, "--format", "json", "--ledger", tmp_path / "ledger.db"))
    assert run["state"] == "COMPLETED"


def test_the_daemon_does_one_round_and_says_how_it_is(cluster: Any, tmp_path: Path) -> None:
    """The health file names the cluster and is good; the tree of accounts is known."""
    (tmp_path / "rates.toml").write_text(RATES)
    mlcost(
        "daemon", "--once", "--rates", tmp_path / "rates.toml", "--ledger", tmp_path / "ledger.db",
        "--health", tmp_path / "health.json", "--metrics", tmp_path / "mlcost.prom",
    )  # fmt: skip
    health = json.loads((tmp_path / "health.json").read_text())
    assert (health["ok"], health["cluster"]) == (True, cluster.name)
    assert "mlcost_daemon_up" in (tmp_path / "mlcost.prom").read_text()


def test_what_counts_against_limits_follows_from_the_ledger(cluster: Any, tmp_path: Path) -> None:
    """A job of a free QOS does not count, another does, and nothing is unexplained."""
    jobs = [
        cluster.run(
            "sbatch", "--parsable", "-A", "robotics", "-p", "cpu", "-n", "16", "-q", qos, "-t", "5",
            "--wrap", "sleep 9",
        ).strip()
        for qos in ("free", "normal")
    ]  # fmt: skip
    wait_accounted(cluster, *jobs)
    mlcost("ingest", "--since", "-2d", "--ledger", tmp_path / "ledger.db")
    # Hours that are not rolled up yet, of other accounts, may make it end with 1.
    told = CliRunner().invoke(cli, ["reconcile", "--ledger", f"{tmp_path / 'ledger.db'}", "--format", "json"])
    (line,) = [
        row for row in json.loads(told.stdout) if (row["account"], row["resource"]) == ("robotics", "cpu")
    ]
    counted, expected = (60 * float(line[f"{side}_hours"]) for side in ("limits", "expected"))
    assert 2 <= round(counted) <= expected + 0.5
    assert "UsageFactor of the QOS: -" in line["reasons"]
    assert "unexplained" not in line["reasons"]


def test_a_reservation_is_charged_to_its_holder(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job in it leaves unused the holder pays, and all that the nodes cost is accounted for."""
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    (tmp_path / "rates.toml").write_text(RATES.replace("cpu_hour", 'reservations = "unused"\ncpu_hour', 1))
    options = ("--rates", tmp_path / "rates.toml", "--ledger", tmp_path / "ledger.db")
    name = f"school-{int(time.time())}"
    cluster.run(
        "scontrol", "create", "reservation", f"ReservationName={name}", "StartTime=now", "Duration=5",
        "Nodes=t4-1", "Accounts=vision",
    )  # fmt: skip
    job = cluster.run(
        "sbatch", "--parsable", "-A", "vision", "-p", "t4", "--gres=gpu:t4:1", f"--reservation={name}",
        "-t", "1", "--wrap", "sleep 2",
    ).strip()  # fmt: skip
    wait_accounted(cluster, job)
    cluster.run("scontrol", "delete", f"ReservationName={name}")

    def over() -> str:
        """Return its (start, end) once slurmdbd has the true end."""
        told = cluster.run("sacctmgr", "-n", "-P", "show", "reservation", f"names={name}", "format=start,end")
        start, end = (told.strip() or "0|0").split("|")
        return told if int(start) < int(end) < int(start) + 300 else ""

    start, end = wait_for(over, 60, "the end of the reservation in the accounting").strip().split("|")
    mlcost("ingest", "--since", "-1h", *options)
    lines = json.loads(mlcost("reservations", "--format", "json", "--ledger", tmp_path / "ledger.db"))
    (line,) = [found for found in lines if found["name"] == name]
    hour = Fraction("0.01") * 32 + Fraction("0.002") * Fraction(192000, 1024) + 4 * Fraction(PRICES["t4"])
    whole = round(hour * (int(end) - int(start)) * 10**6 / 3600)
    assert Decimal(line["list_price"]) == Decimal(whole).scaleb(-6)
    (run,) = json.loads(mlcost("why-charge", job, "--format", "json", "--ledger", tmp_path / "ledger.db"))
    assert (line["account"], Decimal(line["charged"])) == (
        "vision", Decimal(line["list_price"]) - Decimal(run["total"]),
    )  # fmt: skip
    shared = ("--idle", "proportional", "--down", "even", "--reserved", "even")
    alone, spread = (
        sum(Decimal(row["total"]) for row in json.loads(mlcost("capacity", "--format", "json", *words)))
        for words in (options, (*options, *shared))
    )
    assert alone == spread > 0
