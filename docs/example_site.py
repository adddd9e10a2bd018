"""A made-up site with eleven months of work, for the pictures in these pages.

    .venv/bin/python docs/example_site.py FOLDER

Everything goes through the commands as an operator would use them; only what needs a cluster (a comparison
with sreport, jobs in the queue, a mail server that is down) is put into the ledger directly.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from mlcost_accounting.alerts.events import Event
from mlcost_accounting.budgets.commitments import Commitment, CommitmentKey, Commitments
from mlcost_accounting.ledger.budget_book import BudgetBook
from mlcost_accounting.ledger.hierarchy import keep_accounts
from mlcost_accounting.ledger.outbox import Outbox
from mlcost_accounting.ledger.reconciliations import keep_reconciliation
from mlcost_accounting.ledger.store import open_ledger
from mlcost_accounting.reconcile import Comparison

SETTINGS = """
[site]
name = "Example HPC"
time_zone = "Europe/Paris"
[paths]
ledger = "ledger.db"
rates = "rates.toml"
projects = "projects.toml"
web_tokens = "tokens.json"
[web]
user_header = "X-Remote-User"
trusted_proxies = ["127.0.0.1"]
operators = ["root"]
[web.leads]
lena = ["nlp"]
[gpu_aliases]
a100 = "a100-80gb"
"""
RATES = """
currency = "EUR"
[[card]]
valid_from = 2020-01-01
cpu_hour = 0.012
memory_gib_hour = 0.0015
storage_tib_month = 4.5
[card.gpu_hour]
a100-80gb = 1.85
h100 = 3.40
t4 = 0.30
[card.partition.spot]
multiplier = 0.4
[card.state.NODE_FAIL]
multiplier = 0
"""
PROJECTS = """
[[project]]
name = "{project}"
comment = { project = "*" }
"""
FIELDS = (
    "JobIDRaw", "JobID", "DBIndex", "User", "UID", "Account", "Partition", "QOS", "State", "Submit",
    "Eligible", "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "AllocTRES", "NNodes", "JobName",
    "Comment",
)  # fmt: skip
GROUPS: dict[str, tuple[int, dict[str, int], tuple[str, ...]]] = {
    "nlp": (6, {"ana": 5, "dora": 3, "jonas": 2, "mei": 1}, ("summaries", "speech", "tokenizer")),
    "vision": (4, {"ben": 4, "noor": 3, "viktor": 1}, ("segment-3d", "satellite")),
    "climate": (2, {"ines": 2, "oskar": 2}, ("downscaling",)),
    "robotics": (1, {"chloe": 1}, ("grasping",)),
}
PARENTS = {"nlp": "science", "vision": "science", "climate": "science", "robotics": "engineering"}
STATES = ("COMPLETED",) * 26 + ("FAILED", "FAILED", "TIMEOUT", "PREEMPTED", "CANCELLED by 1000",
                                "OUT_OF_MEMORY", "NODE_FAIL")  # fmt: skip
DAYS = 330


def main() -> None:
    """Make the site in the folder that is named."""
    folder = Path(sys.argv[1])
    build_site(folder)
    print(f"mlcost --config {folder}/mlcost.toml web")


def build_site(folder: Path) -> None:
    """Write settings and rows into a folder and take the rows into a ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("mlcost.toml", SETTINGS), ("rates.toml", RATES), ("projects.toml", PROJECTS)):
        (folder / name).write_text(text)
    today = datetime.now(ZoneInfo("Europe/Paris")).date()
    (folder / "rows").write_text("".join(f"{row}\n" for row in rows_until(today)))
    mlcost(folder, "ingest", "--from-file", "rows", "--fields", ",".join(FIELDS), "--cluster", "alpha", ok=1)
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    for number, day in enumerate((last_month, this_month, today)):
        listing = "".join(
            f"/data/{user},{user},{(40 + 9 * len(user) + 13 * number) * 2**38}\n"
            for _, users, _ in GROUPS.values()
            for user in users
        )
        (folder / "quotas.csv").write_text(listing)
        mlcost(folder, "storage", "ingest", "quotas.csv", "--as-of", f"{day}")
    spent = budgets(folder, today)
    close_months(folder, today)
    with_cluster(folder, today, spent)


def mlcost(folder: Path, *words: str, ok: int = 0) -> str:
    """Return what a command prints; exit codes up to ``ok`` are fine."""
    command = [sys.executable, "-m", "mlcost_hpc.cli.main", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode > ok:
        sys.exit(done.stderr)
    return done.stdout


def rows_until(today: date) -> list[str]:
    """Return the rows of a site whose work grows over the year, with weekends and a holiday."""
    draw = random.Random(7)  # noqa: S311
    now = int(time.time()) - 1800
    rows, number = [], 48_000
    for back in range(DAYS, -1, -1):
        day = today - timedelta(days=back)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        busy = 16 * (0.35 if day.weekday() >= 5 else 1.0) * (0.4 if day.month == 8 else 1.0)
        for _ in range(round(busy * (1.15 - 0.4 * back / DAYS))):
            number += draw.randrange(1, 9)
            rows += job_rows(draw, number, midnight, now)
    return [*rows, *odd_rows(number + 10, now)]


def odd_rows(number: int, now: int) -> list[str]:
    """Return two jobs that went past the budget of nlp, and a row that lost its end."""
    comments = (
        "project=speech budget_override=nlp-month over=212.40EUR by=dora because camera-ready on Friday",
        "project=summaries budget_override=nlp-month over=38.05EUR by=jonas because rerun for the reviewers",
    )
    rows = []
    for back, (user, comment) in enumerate(zip(("dora", "jonas"), comments, strict=True), start=2):
        start = now - back * 86_400
        values: dict[str, object] = {
            "JobIDRaw": number + back, "JobID": number + back, "DBIndex": number + back, "User": user,
            "UID": 1000, "Account": "nlp", "Partition": "h100", "QOS": "high", "State": "COMPLETED",
            "Submit": start - 40, "Eligible": start - 40, "Start": start, "End": start + 9000,
            "ElapsedRaw": 9000, "Suspended": "00:00:00", "TimelimitRaw": 720,
            "AllocTRES": "cpu=32,gres/gpu:h100=4,gres/gpu=4,mem=192G,node=1", "NNodes": 1,
            "JobName": "finetune", "Comment": comment,
        }  # fmt: skip
        rows.append("|".join(str(values[name]) for name in FIELDS))
    return [*rows, "|".join(rows[0].split("|")[:9])]


def job_rows(draw: random.Random, number: int, midnight: int, now: int) -> list[str]:
    """Return the runs of one job."""
    group = draw.choices(list(GROUPS), [weight for weight, _, _ in GROUPS.values()])[0]
    _, users, projects = GROUPS[group]
    user = draw.choices(list(users), list(users.values()))[0]
    gpu, partition, gpus, hours = draw.choices(
        (("a100-80gb", "a100", (1, 2, 4, 8), 5), ("h100", "h100", (4, 8), 4),
         ("a100-80gb", "spot", (1, 2), 5), ("t4", "t4", (1,), 2), ("", "cpu", (0,), 3),
         ("mi300", "trial", (1,), 1)),
        (300, 120, 220, 200, 160, 3),
    )[0]  # fmt: skip
    count = draw.choice(gpus)
    start = midnight + draw.randrange(0, 86_000)
    elapsed = min(int(draw.lognormvariate(0, 0.9) * hours * 3600), 47 * 3600)
    state = draw.choice(STATES)
    if partition == "spot" and draw.random() < 0.2:
        state = "PREEMPTED"
    if start > now:
        return []
    cpus = 8 * max(1, count)
    held = [f"cpu={cpus}", f"mem={6 * cpus}G", "node=1"]
    if gpu:
        held[1:1] = [f"gres/gpu:{'a100' if gpu == 'a100-80gb' else gpu}={count}", f"gres/gpu={count}"]
    values: dict[str, object] = {
        "JobIDRaw": number, "JobID": number, "DBIndex": number, "User": user, "UID": 1000, "Account": group,
        "Partition": partition, "QOS": draw.choice(("normal",) * 5 + ("high",)), "State": state,
        "Submit": start - draw.randrange(30, 9000), "Eligible": start - 30, "Start": start,
        "End": start + elapsed, "ElapsedRaw": elapsed, "Suspended": "00:00:00", "TimelimitRaw": 48 * 60,
        "AllocTRES": ",".join(held), "NNodes": 1,
        "JobName": draw.choice(("train", "finetune", "eval", "sweep", "preprocess", "distill")),
        "Comment": f"project={draw.choice(projects)}" + draw.choice(("", "", " tag=paper-3")),
    }  # fmt: skip
    if start + elapsed > now:
        values |= {"State": "RUNNING", "End": "Unknown", "ElapsedRaw": max(1, now - start)}
    first = "|".join(str(values[name]) for name in FIELDS)
    if values["State"] != "PREEMPTED" or start + 2 * elapsed + 300 > now:
        return [first]
    again = start + elapsed + 121
    values |= {
        "DBIndex": number + 10_000_000, "Submit": start + elapsed, "Eligible": again, "Start": again,
        "End": again + elapsed, "State": "COMPLETED",
    }  # fmt: skip
    return [first, "|".join(str(values[name]) for name in FIELDS)]


def budgets(folder: Path, today: date) -> dict[str, float]:
    """Set budgets that stand differently, and return this month's spending by group."""
    asked = ("--period", "this-month", "--by", "account", "--format", "json")
    spent = {row["account"]: float(row["cost"]) for row in json.loads(mlcost(folder, "report", *asked))}
    rounded = {group: 50 * round(amount / 50) for group, amount in spent.items()}
    since = ("--since", f"{today.year}-01-01")
    for name, words in {
        "nlp-month": ("--account", "nlp", "--amount", str(round(rounded["nlp"] * 1.2)), "--hard"),
        "vision-month": ("--account", "vision", "--amount", str(round(rounded["vision"] * 0.96))),
        "science-year": ("--account", "science", "--amount", "150000", "--period", "year"),
        "ana-h100": (
            "--user", "ana", "--gpu-hours", "900", "--gpu-model", "h100", "--period", "quarter",
        ),
    }.items():  # fmt: skip
        mlcost(folder, "budget", "add", name, *words, *since)
    return spent


def close_months(folder: Path, today: date) -> None:
    """Close all months but the last two."""
    mlcost(folder, "ledger", "enter", "refund", "nlp", "42.50", "--reason", "rack power failure on the 3rd")
    month = (today - timedelta(days=DAYS)).replace(day=1)
    while (month + timedelta(days=62)).replace(day=1) <= today.replace(day=1):
        mlcost(folder, "ledger", "close", f"{month:%Y-%m}")
        month = (month + timedelta(days=31)).replace(day=1)


def with_cluster(folder: Path, today: date, spent: dict[str, float]) -> None:
    """Put into the ledger what a cluster would tell."""
    now = int(time.time())
    with open_ledger(folder / "ledger.db", ZoneInfo("Europe/Paris")) as ledger:
        keep_accounts(ledger, "alpha", PARENTS)
        ledger.set_meta("through:alpha", str(now - 240))
        keep_reconciliation(
            ledger, "alpha", now - 8 * 86400, now - 86400,
            [
                Comparison(account=group, resource=resource, ledger_s=seconds, sreport_s=seconds - lost,
                           difference_s=lost, limits_min=0, reasons=reasons)
                for group, resource, seconds, lost, reasons in (
                    ("nlp", "cpu", 33_181_200, 0, ()), ("nlp", "gpu", 4_147_200, 0, ()),
                    ("vision", "cpu", 21_700_800, 43_200, ("suspended for 1.5 h, which sreport leaves out",)),
                    ("vision", "gpu", 2_700_000, 0, ()), ("climate", "cpu", 9_360_000, 0, ()),
                )
            ],
            now - 3600,
        )  # fmt: skip
        parts = {}
        for group, share in (("nlp", 0.06), ("vision", 0.03), ("climate", 0.05)):
            for kind in ("running", "queued"):
                key = CommitmentKey(
                    today.toordinal(), kind, group, next(iter(GROUPS[group][1])), group, "h100"
                )  # type: ignore[arg-type]
                parts[key] = Commitment(jobs=3, cost=round(spent[group] * share * 1_000_000), gpu_s=90_000)
        BudgetBook(ledger).replace_commitments("alpha", Commitments(parts=parts), now - 240)
        event = Event(key="budget/vision-month/100/1", kind="threshold", target="account vision",
                      subject="budget vision-month: used up", body="")  # fmt: skip
        outbox = Outbox(ledger)
        outbox.post([event], [], ["leads"], now - 900)
        delivery = outbox.claim("leads", now - 900)
        if delivery is not None:
            outbox.failed(delivery, "mail server smtp.example.org:587: Connection refused", now + 60)


if __name__ == "__main__":
    main()
