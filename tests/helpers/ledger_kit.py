"""Accounting rows as sacct would print them, rate books of round prices, and a ledger with what feeds it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mlcost_accounting.bulk import Kinds
from mlcost_accounting.calendar import Calendar
from mlcost_accounting.ingest import Ingest
from mlcost_accounting.ledger.store import Ledger, open_ledger
from mlcost_accounting.projects import ProjectMap
from mlcost_accounting.rating import Rater

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rates import RateBook, RateCard
from mlcost_hpc.slurm.commands import SACCT_FIELDS
from mlcost_hpc.slurm.sacct_lines import Layout

if TYPE_CHECKING:
    from pathlib import Path

UTC = ZoneInfo("UTC")
NOON = 1_767_268_800  # 2026-01-01T12:00:00Z
SEPARATOR = "\x1f"
LAYOUT = Layout.of(SACCT_FIELDS, SEPARATOR)

DEFAULTS: dict[str, object] = {
    "JobIDRaw": 100, "JobID": 100, "DBIndex": 1, "User": "ana", "UID": 1001, "Account": "nlp",
    "Partition": "a100", "QOS": "normal", "State": "COMPLETED", "Submit": NOON - 60, "Eligible": NOON - 60,
    "Start": NOON, "End": NOON + 3600, "ElapsedRaw": 3600, "Suspended": "00:00:00", "TimelimitRaw": 120,
    "AllocTRES": "billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1", "ReqTRES": "", "NNodes": 1,
    "NodeList": "a100-1", "ExitCode": "0:0", "Reservation": "", "ReservationId": "", "WCKey": "",
    "JobName": "train", "Comment": "", "Cluster": "alpha",
}  # fmt: skip


def row(**changes: object) -> str:
    """Return a row as sacct prints it for this package; by default one GPU-job hour."""
    unknown = set(changes) - set(DEFAULTS)
    assert not unknown, unknown
    return SEPARATOR.join(str(value) for value in (DEFAULTS | changes).values())


def make_book(*cards: RateCard, **fields: Any) -> RateBook:
    """Return a rate book; without cards one of round prices: 2 a GPU hour, 0.1 a CPU hour."""
    plain = RateCard(
        valid_from=date(2020, 1, 1),
        gpu_hour={"a100-40gb": Decimal(2), "t4": Decimal("0.5")},
        cpu_hour=Decimal("0.1"),
    )
    return RateBook(currency="USD", card=cards or (plain,), **fields)


def make_kinds(
    book: RateBook | None = None, zone: ZoneInfo = UTC, projects: ProjectMap | None = None
) -> Kinds:
    """Return how runs are rated under a book."""
    return Kinds(Rater(book or make_book(), load_catalog(), Calendar(zone)), projects or ProjectMap())


class Books:
    """A ledger and what feeds it."""

    def __init__(self, path: Path, kinds: Kinds) -> None:
        self.kinds = kinds
        self.ledger: Ledger = open_ledger(path, kinds.rater.calendar.zone)

    def take(self, *rows: str, seen: int = NOON + 86400, **options: Any) -> Ingest:
        """Ingest rows as one answer."""
        taker = Ingest(self.ledger, self.kinds)
        text = "".join(f"{line}\n" for line in rows)
        taker.text([text], options.pop("layout", LAYOUT), seen=seen, **options)
        self.ledger.refresh()
        return taker

    def charges(self) -> list[dict[str, Any]]:
        """Return all charge rows with the runs' job ids."""
        return self.ledger.rows(
            "SELECT job_id, day, corrects, wall_s, cpu_s, gpu_s, node_s, cost, credit FROM charges "
            "JOIN runs ON runs.id = run_id ORDER BY job_id, day, corrects"
        )

    def cost(self) -> int:
        """Return the sum of all daily sums (micros)."""
        return int(self.ledger.rows("SELECT COALESCE(SUM(cost), 0) AS cost FROM daily")[0]["cost"])
