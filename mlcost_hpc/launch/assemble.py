"""A launcher from the settings in force: the command line and the Python interface make theirs here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.access import current_user
from mlcost_hpc.launch.budget_gate import gate_of
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.list_prices import CURRENCY, list_price_card
from mlcost_hpc.launch.render import Templates
from mlcost_hpc.launch.script import Budgets
from mlcost_hpc.rates import load_rates

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.config import Settings
    from mlcost_hpc.slurm.api import Slurm

NO_RATES = (
    "no rate card: prices are the middle of public clouds' list prices, for comparing only. What does an "
    "hour cost here? Write it into a rate card and name that in paths.rates of the settings, or with --rates"
)
"""What a person is told when a launcher works with list prices."""


def assemble(settings: Settings, slurm: Slurm, catalog: Catalog, rates: Path | None = None) -> Launcher:
    """Return a launcher with today's prices and the site's templates; without a rate card, with list prices.

    Args:
        settings: the settings in force.
        slurm: the cluster.
        catalog: the GPU models.
        rates: the rate card; None = the configured one.

    Raises:
        ConfigError: when the rate card is wrong.
    """
    paths = settings.paths
    if path := rates or (Path(paths.rates) if paths.rates else None):
        book = load_rates(path)
        card, currency = book.card_now(settings.zone), book.currency
    else:
        card, currency = list_price_card(catalog), CURRENCY
    return Launcher(
        slurm,
        catalog,
        card,
        currency=currency,
        runs=Path(paths.runs),
        templates=Templates(Path(paths.templates) if paths.templates else None),
        timeout_s=settings.slurm.timeout_s,
        user=current_user(),
        cluster=settings.slurm.cluster,
        budgets=Budgets(**msgspec.structs.asdict(settings.requeue)),
        gate=gate_of(settings),
    )
