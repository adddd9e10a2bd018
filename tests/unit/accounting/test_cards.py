"""The ready-made rate cards: each with the worked example of the policy that it reproduces."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from ledger_kit import NOON, UTC
from mlcost_accounting.calendar import Calendar
from mlcost_accounting.charge import Span
from mlcost_accounting.rating import Rater

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.rates import load_rates

CARDS = Path(__file__).parents[3] / "accounting" / "config" / "cards"
CATALOG = load_catalog()


@pytest.mark.parametrize(
    ("card", "held", "run", "units"),
    [
        # NERSC: 4 nodes for 2 h are 8 node hours; premium costs twice; 64 of 128 cores are half a node.
        ("node-hours-qos", "cpu=512,node=4", {"partition": "regular", "elapsed_s": 7200}, "8"),
        (
            "node-hours-qos",
            "cpu=512,node=4",
            {"partition": "regular", "elapsed_s": 7200, "qos": "premium"},
            "16",
        ),
        ("node-hours-qos", "cpu=64,mem=64G,node=1", {"partition": "shared"}, "0.5"),
        ("node-hours-qos", "cpu=512,node=4", {"partition": "regular", "reservation": "school"}, "0"),
        # TACC: 10 nodes for one minute are charged as 15 minutes; rtx costs three times.
        ("node-hours-minimum", "cpu=560,node=10", {"partition": "normal", "elapsed_s": 60}, "2.5"),
        ("node-hours-minimum", "cpu=16,node=1", {"partition": "rtx"}, "3"),
        ("node-hours-minimum", "cpu=560,node=10", {"partition": "flex"}, "8"),
        # NREL: 26 of 104 cores but half of the memory is half a node; one of four GPUs is a quarter of 100.
        ("node-share", "cpu=26,mem=120G,node=1", {"partition": "shared"}, "5"),
        ("node-share", "cpu=8,mem=30G,node=1,gres/gpu:h100=1", {"partition": "gpu-h100"}, "25"),
        ("node-share", "cpu=26,mem=120G,node=1", {"partition": "shared", "qos": "high"}, "10"),
        # NCSA: 4 cores with 16 GB count as 8 units; a job of a minute as one.
        ("max-of-cores-and-memory", "cpu=4,mem=15625000K,node=1", {"partition": "cpu"}, "8"),
        ("max-of-cores-and-memory", "cpu=4,mem=4G,node=1", {"partition": "cpu", "elapsed_s": 60}, "1"),
        ("max-of-cores-and-memory", "cpu=8,mem=60G,node=1,gres/gpu:a100=2", {"partition": "cpu"}, None),
        # LUMI: 2 cores with 5 GiB hold three slices; a standard node is 128 cores whatever is used.
        ("memory-slices", "cpu=2,mem=5G,node=1", {"partition": "small"}, "3"),
        ("memory-slices", "cpu=16,mem=5G,node=2", {"partition": "standard"}, "256"),
        # CSC: 10 cores (7.5) against 40 GiB (15), and 100 GiB of disk (2); one GPU is 200.
        ("billing-units", "cpu=10,mem=40G,node=1,gres/nvme=100", {"partition": "small"}, "17"),
        ("billing-units", "cpu=72,mem=100G,node=1,gres/gpu:gh200=1", {"partition": "gpu"}, "200"),
        # ARCHER2: 4 nodes for 6 h are 24 CU; low priority and system failures are free.
        ("charge-at-end", "cpu=1024,node=4", {"partition": "standard", "elapsed_s": 6 * 3600}, "24"),
        ("charge-at-end", "cpu=1024,node=4", {"partition": "standard", "qos": "lowpriority"}, "0"),
        ("charge-at-end", "cpu=1024,node=4", {"partition": "standard", "state": "NODE_FAIL"}, "0"),
        # IIT Delhi: 61 seconds of 10 cores are two minutes of 10 cores.
        ("per-minute", "cpu=10,node=1", {"elapsed_s": 61}, "1"),
        ("per-minute", "cpu=10,node=1", {"elapsed_s": 120, "qos": "high"}, "1.5"),
        # PATh: 16 cores fall into the second step; 8 cores with 32 GB pay for the 16 GB above 2 a core.
        ("size-steps", "cpu=16,node=1", {}, "19.2"),
        ("size-steps", "cpu=8,mem=31250000K,node=1", {}, "10"),
        ("size-steps", "cpu=129,node=2", {}, "258"),
    ],
)
def test_a_worked_example(card: str, held: str, run: dict[str, object], units: str | None) -> None:
    """One hour (unless said otherwise) costs what the centre's policy says; None = refused."""
    fields: dict[str, object] = {
        "partition": "cpu", "qos": "normal", "state": "COMPLETED", "allocated": held, "node_count": 1,
        "started": NOON, "elapsed_s": 3600, "suspended_s": 0, "time_limit_s": None, "reservation": "",
        "seen": NOON + 86400,
    }  # fmt: skip
    rater = Rater(load_rates(CARDS / f"{card}.toml"), CATALOG, Calendar(UTC))
    charge = rater.rate(Span(**(fields | run)))  # type: ignore[arg-type]
    if units is None:
        assert charge.problem is not None
        return
    assert sum(part.cost or 0 for part in charge.slices) == int(Decimal(units) * 10**6)


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_card_is_listed_and_loads(path: Path) -> None:
    """A card that nobody can read or find helps nobody."""
    load_rates(path)
    assert f"`{path.name}`" in (CARDS / "README.md").read_text()
